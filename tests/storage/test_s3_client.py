"""boto3's client is set up as users of S3 expect, and what it says of errors is only what may be said."""

import sys

import pytest

from distexpand.errors import MissingDependencyError, StorageError
from distexpand.storage.address import Address
from distexpand.storage.s3.client import s3_client
from distexpand.storage.s3.uploads import S3Uploads
from tests.support.store_environment import set_store_environment

SECRET = "TopSecretTopSecretTopSecret00000"


@pytest.fixture
def environment(monkeypatch):
    """Return a function that sets the variables which clients read, and no others."""

    def set_to(**variables):
        set_store_environment(monkeypatch, {"DISTEXPAND_TIMEOUT": "1", **variables})

    return set_to


def addressing(client):
    return client.meta.config.s3.get("addressing_style", "")


@pytest.mark.parametrize("variable", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT"])
def test_the_endpoint_stands_in_the_environment(environment, variable):
    environment(**{variable: "http://store.test:1234"}, AWS_REGION="eu-west-1")
    client = s3_client()
    assert (client.meta.endpoint_url, client.meta.region_name) == ("http://store.test:1234", "eu-west-1")
    assert addressing(client) == "path"


def test_amazon_s_buckets_have_hosts_of_their_own(environment):
    environment(AWS_REGION="eu-west-1")
    assert addressing(s3_client()) == ""
    environment(AWS_ENDPOINT_URL="http://store.test", AWS_VIRTUAL_HOSTED_STYLE_REQUEST="true")
    assert addressing(s3_client()) == "virtual"


def test_a_profile_of_the_tools_configuration_is_taken(environment, tmp_path):
    (tmp_path / "config").write_text(
        "[profile mine]\nregion=eu-west-3\nendpoint_url = http://store.test:1\n[profile other]\n"
        "endpoint_url = http://store.test:2\ns3 =\n  addressing_style = virtual\n"
    )
    environment(AWS_CONFIG_FILE=str(tmp_path / "config"), AWS_PROFILE="mine")
    client = s3_client()
    assert (client.meta.endpoint_url, client.meta.region_name) == ("http://store.test:1", "eu-west-3")
    assert addressing(client) == "path"
    environment(AWS_CONFIG_FILE=str(tmp_path / "config"), AWS_PROFILE="other")
    assert addressing(s3_client()) == "virtual"
    environment(AWS_CONFIG_FILE=str(tmp_path / "config"), AWS_PROFILE="nobodys")
    with pytest.raises(StorageError, match="ProfileNotFound"):
        s3_client()


@pytest.mark.parametrize("calculation", ["", "when_supported"])
def test_parts_arrive_with_and_without_checksums(seaweedfs, environment, calculation):
    given = {"AWS_REQUEST_CHECKSUM_CALCULATION": calculation} if calculation else {}
    environment(**seaweedfs.environment(), **given)
    uploads = S3Uploads(Address(scheme="s3", root=seaweedfs.new_bucket(), path="x"))
    upload = uploads.begin("a", run="")
    sent = []
    uploads.client.meta.events.register(
        "before-send.s3.UploadPart", lambda request, **_: sent.append(request)
    )
    uploads.put_part(upload, 1, memoryview(b"12345" * 1000))
    assert any(name.lower().startswith("x-amz-checksum-") for name in sent[0].headers) == bool(calculation)
    assert sent[0].headers["X-Amz-Content-SHA256"] == b"UNSIGNED-PAYLOAD"
    assert uploads.complete(upload, uploads.parts(upload))
    assert seaweedfs.contents(uploads.address.root) == {"x/a": b"12345" * 1000}


def test_no_region_is_needed_where_a_server_has_none(seaweedfs, environment):
    environment(**{name: text for name, text in seaweedfs.environment().items() if name != "AWS_REGION"})
    uploads = S3Uploads(Address(scheme="s3", root=seaweedfs.new_bucket(), path="x"))
    assert list(uploads.in_progress()) == []


def test_what_is_refused_names_the_place_and_what_to_do_and_no_secret(seaweedfs, environment):
    environment(**seaweedfs.environment() | {"AWS_SECRET_ACCESS_KEY": SECRET})
    with pytest.raises(StorageError, match=r"s3://b/x: .*SignatureDoesNotMatch") as raised:
        list(S3Uploads(Address(scheme="s3", root="b", path="x")).in_progress())
    assert "AWS_ACCESS_KEY_ID" in raised.value.hint
    assert SECRET not in f"{raised.value} {raised.value.hint}"


def test_without_credentials_it_is_said_how_to_give_them(seaweedfs, environment):
    environment(AWS_ENDPOINT_URL=seaweedfs.endpoint)
    with pytest.raises(StorageError, match="no credentials were found") as raised:
        list(S3Uploads(Address(scheme="s3", root="b")).in_progress())
    assert "AWS_ACCESS_KEY_ID" in raised.value.hint


def test_without_boto3_it_is_said_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(MissingDependencyError) as raised:
        s3_client()
    assert "distexpand[stores]" in raised.value.hint
