"""Servers are found through proxies and redirects and by trusted certificates; what is wrong is told."""

import shutil
import ssl
import subprocess

import pytest

from distexpand.errors import StorageError
from distexpand.storage.address import Address
from distexpand.storage.objects.source import ObjectSource
from tests.storage.contract import read
from tests.storage.places import failure, listed
from tests.support import free_ports
from tests.support.fault_proxy import fault_proxy
from tests.support.range_server import Response, range_server


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

    def test_redirects_that_lead_nowhere_are_told(self, web, environment):
        environment()
        web.distort = lambda _method, _response: Response(status=301, headers={"Content-Length": "0"})
        error = failure(Address(scheme="http", root=web.endpoint.partition("//")[2], path="model"))
        assert error.message.endswith("can't read: the server says that it moved, but not where to")

    def test_redirects_that_lead_in_a_circle_are_told(self, web, environment):
        environment()
        to = Response(status=302, headers={"Location": f"{web.endpoint}/other", "Content-Length": "0"})
        web.distort = lambda _method, _response: to
        error = failure(Address(scheme="http", root=web.endpoint.partition("//")[2], path="model"))
        assert "without end" in error.message


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("certificates")

    def openssl(command):
        subprocess.run(["openssl", *command.split()], cwd=folder, check=True, capture_output=True)

    (folder / "names").write_text("subjectAltName=DNS:localhost")
    openssl("req -x509 -newkey rsa:2048 -nodes -keyout authority.key -out authority.pem -days 2 -subj /CN=us")
    openssl("req -newkey rsa:2048 -nodes -keyout server.key -out server.request -subj /CN=localhost")
    openssl(
        "x509 -req -in server.request -CA authority.pem -CAkey authority.key -CAcreateserial "
        "-out server.pem -days 2 -extfile names"
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem", folder / "server.key")
    with range_server() as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        server.put("model/config.json", b"{}")
        root = f"localhost:{server.server_address[1]}"
        yield folder, Address(scheme="https", root=root, path="model")


@pytest.mark.skipif(not shutil.which("openssl"), reason="openssl isn't installed")
class TestCertificates:
    """A server whose certificate only those trust who are told to."""

    @pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"])
    def test_are_trusted_where_the_environment_says_so(self, place, environment, variable):
        folder, model = place
        environment(**{"DISTEXPAND_TIMEOUT": "10", variable: str(folder / "authority.pem")})
        assert listed(model) == {"config.json": 2}

    def test_are_told_where_they_are_not_trusted(self, place, environment):
        environment(DISTEXPAND_TIMEOUT="10")
        error = failure(place[1])
        assert error.message.endswith("can't read: the server's certificate isn't trusted")
        assert "SSL_CERT_FILE" in error.hint

    def test_an_authority_that_is_no_file_is_told(self, environment, tmp_path):
        environment(AWS_CA_BUNDLE=str(tmp_path / "missing.pem"))
        with pytest.raises(StorageError, match="in the environment can't be used"):
            ObjectSource(Address(scheme="https", root="localhost"))
