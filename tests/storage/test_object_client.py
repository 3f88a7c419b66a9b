"""Clients are set up by what stores' own tools read, and say what is missing."""

import gc
import sys
import threading
import warnings

import pytest

from distexpand.errors import MissingDependencyError, StorageError, UsageError
from distexpand.storage.address import Address
from distexpand.storage.objects.client import timeout_seconds
from distexpand.storage.objects.source import ObjectSource
from tests.storage.contract import read
from tests.storage.places import failure, listed
from tests.support.range_server import Response, range_server

FILES = {"config.json": b"{}"}


@pytest.fixture
def model(seaweedfs, bucket):
    seaweedfs.put(bucket, FILES)
    return Address(scheme="s3", root=bucket)


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
        wrong = seaweedfs.environment() | {"AWS_SECRET_ACCESS_KEY": "wrong"}
        environment(**wrong, AWS_SKIP_SIGNATURE="true")
        assert listed(Address(scheme="s3", root=public_bucket, path="open")) == {"config.json": 2}

    def test_missing_credentials_are_told_with_what_to_do(self, seaweedfs, model, environment):
        environment(AWS_ENDPOINT_URL=seaweedfs.endpoint)
        error = failure(model)
        assert error.message == f"{model}: can't list: access is denied (AccessDenied)"
        assert "AWS_ACCESS_KEY_ID" in error.hint

    def test_wrong_credentials_are_told_with_what_to_do(self, seaweedfs, model, environment):
        environment(**seaweedfs.environment() | {"AWS_SECRET_ACCESS_KEY": "wrong"})
        error = failure(model)
        assert error.message == f"{model}: can't list: access is denied (SignatureDoesNotMatch)"

    def test_a_missing_bucket_is_told(self, bucket):
        error = failure(Address(scheme="s3", root=f"{bucket}-missing"))
        assert error.message == f"s3://{bucket}-missing: can't list: there is no bucket '{bucket}-missing'"

    def test_a_bucket_in_another_region_is_told(self, environment):
        with range_server() as server:
            server.distort = lambda _method, _response: Response(status=301, headers={"Content-Length": "0"})
            environment(AWS_ENDPOINT_URL=server.endpoint)
            error = failure(Address(scheme="s3", root="bucket"))
        assert error.message == "s3://bucket: can't list: the bucket lies in another region"
        assert "AWS_REGION" in error.hint

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
