"""Clients are found by what stores' own tools read, say what is missing, and tell no secret."""

import gc
import sys
import threading
import traceback
import warnings

import pytest

from distexpand.errors import DistexpandError, MissingDependencyError, StorageError, UsageError
from distexpand.storage.address import Address
from distexpand.storage.object_client import timeout_seconds
from distexpand.storage.object_source import ObjectSource
from tests.storage.contract import read
from tests.support import free_ports
from tests.support.fault_proxy import fault_proxy
from tests.support.range_server import Response, range_server
from tests.support.store_environment import set_store_environment

FILES = {"config.json": b"{}"}
SECRET = "TopSecretTopSecretTopSecret00000"


@pytest.fixture
def environment(monkeypatch):
    """Return a function that sets the variables which clients read, and no others."""

    def set_to(**variables):
        set_store_environment(monkeypatch, {"DISTEXPAND_TIMEOUT": "0.3", **variables})

    return set_to


@pytest.fixture
def model(seaweedfs, bucket):
    seaweedfs.put(bucket, FILES)
    return Address(scheme="s3", root=bucket)


def listed(address):
    return ObjectSource(address).files()


def failure(address):
    """Return the error that listing and reading a place both end with."""
    errors = []
    for use in (listed, lambda address: read(ObjectSource(address).open("config.json"), 0, 1)):
        with pytest.raises(StorageError) as raised:
            use(address)
        errors.append(raised.value)
    assert errors[0].message.partition(":")[0] == errors[1].message.partition(":")[0] == address.scheme
    return errors[0]


class TestS3:
    def test_profiles_of_the_tools_configuration_give_keys_region_and_endpoint(
        self, seaweedfs, model, environment, tmp_path
    ):
        (tmp_path / "credentials").write_text(
            f"[mine]\naws_access_key_id={seaweedfs.access_key}\naws_secret_access_key={seaweedfs.secret_key}\n"
        )
        (tmp_path / "config").write_text(
            f"[profile mine]\nregion=eu-west-1\nservices=here\n[services here]\ns3 =\n"
            f"  endpoint_url = {seaweedfs.endpoint}\n"
        )
        files = {"AWS_SHARED_CREDENTIALS_FILE": "credentials", "AWS_CONFIG_FILE": "config"}
        environment(**{name: str(tmp_path / file) for name, file in files.items()}, AWS_PROFILE="mine")
        assert listed(model) == {"config.json": 2}

    def test_a_profile_that_is_not_there_is_an_error(self, environment):
        environment(AWS_PROFILE="nobodys")
        with pytest.raises(StorageError, match="configuration of AWS's tools can't be used: ProfileNotFound"):
            ObjectSource(Address(scheme="s3", root="bucket"))

    @pytest.mark.parametrize("variable", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"])
    def test_the_endpoint_stands_in_the_environment(self, seaweedfs, model, environment, variable):
        variables = seaweedfs.environment()
        environment(
            **variables | {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", variable: variables["AWS_ENDPOINT_URL"]}
        )
        assert listed(model) == {"config.json": 2}

    def test_works_without_boto3(self, monkeypatch, model):
        monkeypatch.setitem(sys.modules, "boto3", None)
        assert listed(model) == {"config.json": 2}

    @pytest.mark.parametrize("has_boto3", [True, False])
    def test_public_buckets_need_no_credentials(
        self, seaweedfs, public_bucket, environment, monkeypatch, has_boto3
    ):
        seaweedfs.put(public_bucket, {"open/config.json": b"{}"})
        environment(AWS_ENDPOINT_URL=seaweedfs.endpoint)
        if not has_boto3:
            monkeypatch.setitem(sys.modules, "boto3", None)
        assert listed(Address(scheme="s3", root=public_bucket, path="open")) == {"config.json": 2}

    def test_signing_can_be_refused(self, seaweedfs, public_bucket, environment):
        seaweedfs.put(public_bucket, {"open/config.json": b"{}"})
        wrong = seaweedfs.environment() | {"AWS_SECRET_ACCESS_KEY": SECRET}
        environment(**wrong, AWS_SKIP_SIGNATURE="true")
        assert listed(Address(scheme="s3", root=public_bucket, path="open")) == {"config.json": 2}

    def test_missing_credentials_are_told_with_what_to_do(self, seaweedfs, model, environment):
        environment(AWS_ENDPOINT_URL=seaweedfs.endpoint)
        error = failure(model)
        assert error.message == f"{model}: can't list: access is denied (AccessDenied)"
        assert "AWS_ACCESS_KEY_ID" in error.hint

    def test_wrong_credentials_are_told_with_what_to_do(self, seaweedfs, model, environment):
        environment(**seaweedfs.environment() | {"AWS_SECRET_ACCESS_KEY": SECRET})
        error = failure(model)
        assert error.message == f"{model}: can't list: access is denied (SignatureDoesNotMatch)"

    def test_a_missing_bucket_is_told(self, bucket):
        error = failure(Address(scheme="s3", root=f"{bucket}-missing"))
        assert error.message == f"s3://{bucket}-missing: can't list: there is no bucket '{bucket}-missing'"

    def test_a_missing_folder_is_empty(self, bucket):
        assert listed(Address(scheme="s3", root=bucket, path="missing")) == {}


class TestAzure:
    @pytest.fixture
    def model(self, azurite, container):
        azurite.put(container, FILES)
        return Address(scheme="az", root=container)

    def test_a_connection_string_says_everything(self, azurite, model, environment):
        said = {
            "DefaultEndpointsProtocol": "http",
            "AccountName": azurite.account,
            "AccountKey": azurite.key,
            "BlobEndpoint": f"{azurite.endpoint}/{azurite.account}",
        }
        environment(AZURE_STORAGE_CONNECTION_STRING=";".join(f"{key}={value}" for key, value in said.items()))
        assert listed(model) == {"config.json": 2}

    def test_a_shared_access_signature_is_enough(self, azurite, model, environment):
        from azure.storage.blob import generate_container_sas  # noqa: PLC0415

        signature = generate_container_sas(
            azurite.account, model.root, account_key=azurite.key, permission="rl", expiry="2100-01-01"
        )
        variables = azurite.environment()
        del variables["AZURE_STORAGE_ACCOUNT_KEY"]
        environment(**variables, AZURE_STORAGE_SAS_TOKEN=signature)
        assert listed(model) == {"config.json": 2}
        assert read(ObjectSource(model).open("config.json"), 0, 2) == b"{}"

    def test_the_account_has_to_be_said(self, environment):
        environment()
        with pytest.raises(StorageError, match="az://container: which storage account isn't said") as raised:
            ObjectSource(Address(scheme="az", root="container"))
        assert "AZURE_STORAGE_ACCOUNT_NAME" in raised.value.hint

    def test_missing_credentials_are_told_with_what_to_do(self, azurite, model, environment):
        variables = azurite.environment()
        del variables["AZURE_STORAGE_ACCOUNT_KEY"]
        environment(**variables)
        error = failure(model)
        assert error.message.startswith(f"{model}: can't list: access is denied")
        assert "AZURE_STORAGE_ACCOUNT_KEY" in error.hint

    def test_a_missing_container_is_told(self, container):
        error = failure(Address(scheme="az", root=f"{container}-missing"))
        assert error.message.endswith(f"can't list: there is no container '{container}-missing'")


class TestGoogle:
    def test_credentials_that_are_no_file_are_told(self, environment, tmp_path):
        environment(GOOGLE_APPLICATION_CREDENTIALS=str(tmp_path / "missing.json"))
        with pytest.raises(StorageError, match=r"gs://bucket: .*can't be used") as raised:
            ObjectSource(Address(scheme="gs", root="bucket"))
        assert "GOOGLE_APPLICATION_CREDENTIALS" in raised.value.hint


class TestNetwork:
    @pytest.fixture
    def web(self):
        with range_server() as server:
            server.put("model/config.json", b"{}")
            yield server

    def test_proxies_are_used_where_the_environment_names_them(self, web, environment):
        model = Address(scheme="http", root="models.invalid", path="model")
        with fault_proxy(web.endpoint) as proxy:
            environment(HTTP_PROXY=proxy.endpoint)
            assert listed(model) == {"config.json": 2}
            environment(HTTP_PROXY=proxy.endpoint, NO_PROXY="models.invalid")
            failure(model)

    def test_a_name_that_is_no_servers_is_told(self, environment):
        environment(DISTEXPAND_TIMEOUT="20")
        with pytest.raises(StorageError, match="the server's name can't be found") as raised:
            read(ObjectSource(Address(scheme="http", root="models.invalid")).open("config.json"), 0, 1)
        assert "network and the proxy" in raised.value.hint

    def test_a_server_that_is_not_there_is_told_soon(self, environment):
        environment(DISTEXPAND_TIMEOUT="30")
        error = failure(Address(scheme="http", root=f"127.0.0.1:{free_ports.find()}", path="model"))
        assert "no server answers there (connection refused) (4 attempts)" in error.message

    def test_a_server_that_hangs_is_told(self, environment):
        environment()
        with free_ports.silent() as port:
            error = failure(Address(scheme="http", root=f"127.0.0.1:{port}", path="model"))
        assert "the server doesn't answer (5 attempts)" in error.message

    def test_a_server_without_tls_is_told(self, web, environment):
        environment()
        error = failure(Address(scheme="https", root=web.endpoint.partition("//")[2], path="model"))
        assert error.message.startswith("https://127.0.0.1")

    def test_a_server_without_a_checkpoint_is_told(self, web, environment):
        environment()
        error = failure(Address(scheme="http", root=web.endpoint.partition("//")[2], path="nothing"))
        assert error.message.endswith("/nothing/config.json: can't read: there is no such file")

    def test_files_that_are_denied_are_not_there_where_others_are(self, web, environment):
        """As buckets of S3 on the web say that they have no such file."""
        environment()
        denied = Response(status=403, headers={"Content-Length": "0"})
        web.distort = lambda _method, response: denied if response.status == 404 else response
        assert listed(Address(scheme="http", root=web.endpoint.partition("//")[2], path="model")) == {
            "config.json": 2
        }

    def test_a_login_is_told(self, web, environment):
        environment()
        web.distort = lambda _method, _response: Response(status=401, headers={"Content-Length": "0"})
        error = failure(Address(scheme="http", root=web.endpoint.partition("//")[2], path="model"))
        assert "access is denied" in error.message
        assert "without a login" in error.hint

    def test_redirects_are_followed(self, web, environment):
        environment()
        to = Response(
            status=302, headers={"Location": f"{web.endpoint}/model/config.json", "Content-Length": "0"}
        )
        web.distort = lambda _method, response: to if response.status == 404 else response
        other = Address(scheme="http", root=web.endpoint.partition("//")[2], path="moved")
        assert read(ObjectSource(other).open("config.json"), 0, 2) == b"{}"

    def test_redirects_that_lead_in_a_circle_are_told(self, web, environment):
        environment()
        to = Response(status=302, headers={"Location": f"{web.endpoint}/other", "Content-Length": "0"})
        web.distort = lambda _method, _response: to
        error = failure(Address(scheme="http", root=web.endpoint.partition("//")[2], path="model"))
        assert "without end" in error.message


@pytest.mark.parametrize(("text", "seconds"), [("", 30), ("2", 2), ("0.5", 0.5)])
def test_the_timeout_stands_in_the_environment(monkeypatch, text, seconds):
    monkeypatch.setenv("DISTEXPAND_TIMEOUT", text)
    assert timeout_seconds() == seconds


@pytest.mark.parametrize("text", ["soon", "0", "-1", "nan", "inf", "1e9"])
def test_a_timeout_that_is_none_is_an_error(monkeypatch, text):
    monkeypatch.setenv("DISTEXPAND_TIMEOUT", text)
    with pytest.raises(UsageError, match=f"DISTEXPAND_TIMEOUT={text}: not a number of seconds"):
        timeout_seconds()


@pytest.mark.parametrize("scheme", ["s3", "gs", "az", "http", "https"])
def test_a_missing_client_is_told_with_what_to_install(monkeypatch, scheme):
    monkeypatch.setitem(sys.modules, "obstore.store", None)
    with pytest.raises(MissingDependencyError) as raised:
        ObjectSource(Address(scheme=scheme, root="place"))
    assert raised.value.hint == "Install it with: pip install 'distexpand[stores]'"


def test_readers_leave_no_thread_and_no_warning(model):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        source = ObjectSource(model)
        assert source.files() == {"config.json": 2}
        threads = set(threading.enumerate())
        closed, dropped = source.open("config.json"), source.open("config.json")
        assert read(closed, 0, 2) == read(dropped, 0, 2) == b"{}"
        closed.close()
        del source, closed, dropped
        gc.collect()
        assert set(threading.enumerate()) <= threads


SECRETS = {
    "s3": {"AWS_ACCESS_KEY_ID": SECRET, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_SESSION_TOKEN": SECRET},
    "az": {"AZURE_STORAGE_ACCOUNT_NAME": "account", "AZURE_STORAGE_ACCOUNT_KEY": SECRET},
    "az by signature": {
        "AZURE_STORAGE_ACCOUNT_NAME": "account",
        "AZURE_STORAGE_SAS_TOKEN": f"sv=2024-01-01&sp=r&sig={SECRET}",
    },
    "az by broken signature": {
        "AZURE_STORAGE_ACCOUNT_NAME": "account",
        "AZURE_STORAGE_SAS_TOKEN": f"{SECRET}%",
    },
    "az by broken string": {"AZURE_STORAGE_CONNECTION_STRING": f"AccountKey={SECRET};AccountName"},
    "az by token": {"AZURE_STORAGE_ACCOUNT_NAME": "account", "AZURE_STORAGE_TOKEN": SECRET},
    "gs": {"GOOGLE_BEARER_TOKEN": SECRET},
    "gs by broken key": {"GOOGLE_SERVICE_ACCOUNT_KEY": f'{{"private_key": "{SECRET}"}}'},
    "s3 by broken endpoint": {
        "AWS_ACCESS_KEY_ID": SECRET,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_ENDPOINT_URL": f"http://user:{SECRET}@127.0.0.1:9",
    },
}


class TestSecrets:
    """Whatever goes wrong, no credential stands in what is shown or kept."""

    @pytest.fixture
    def server(self):
        with range_server() as server:
            yield server

    @pytest.mark.parametrize("status", [200, 301, 400, 403, 404, 412, 416, 503])
    @pytest.mark.parametrize("given", SECRETS)
    def test_stay_out_of_every_error(self, server, environment, given, status):
        def answer(_method, _response):
            """Give everything back that came, as bad servers do."""
            body = f"<Error><Code>{SECRET}</Code><Message>{SECRET}</Message></Error>".encode()
            return Response(status=status, headers={"Content-Length": str(len(body))}, body=body)

        server.distort = answer
        endpoints = {
            "AWS_ENDPOINT_URL": server.endpoint,
            "AZURE_STORAGE_ENDPOINT": f"{server.endpoint}/account",
            "GOOGLE_BASE_URL": server.endpoint,
        }
        environment(**endpoints | SECRETS[given] | {"DISTEXPAND_TIMEOUT": "0.05"})
        address = Address(scheme=given.partition(" ")[0], root="place", path="model")
        with pytest.raises(DistexpandError) as raised:
            read(ObjectSource(address).open("file"), 0, 1)
        errors = [raised.value]
        try:
            assert listed(address) == {}  # as the client reads what isn't a list at all
        except DistexpandError as error:
            errors.append(error)
        for error in errors:
            shown = "".join(traceback.format_exception(error))
            assert not any(SECRET in text for text in (shown, error.message, error.hint, *_chain(error)))


def _chain(error):
    while error := error.__cause__ or error.__context__:
        yield repr(error)
