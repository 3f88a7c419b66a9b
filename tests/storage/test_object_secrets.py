"""Whatever goes wrong with a place on a network, no credential stands in what is shown or kept."""

import traceback

import pytest

from distexpand.errors import DistexpandError
from distexpand.storage.address import Address
from distexpand.storage.objects.source import ObjectSource
from tests.storage.contract import read
from tests.storage.places import listed
from tests.support.range_server import Response, range_server

SECRET = "TopSecretTopSecretTopSecretTopSe"
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
