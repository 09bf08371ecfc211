"""Container health check: exit 0 when the server answers well, 1 otherwise. Standard library only.

Usage: healthcheck.py [HOST:PORT [PATH]], default 127.0.0.1:28283 /-/healthy; /-/ready asks for a fresh snapshot too.
"""

import http.client
import ssl
import sys


def answers(connection: http.client.HTTPConnection, path: str) -> bool:
    """Whether the server is well; a demand for credentials (401) or a client certificate is an answer too."""
    try:
        connection.request("GET", path)
        return connection.getresponse().status in (200, 401)
    except ssl.SSLError as error:
        return "CERTIFICATE_REQUIRED" in str(error)
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def main() -> int:
    """Try plain HTTP, then HTTPS; it is this container's own server, so its certificate is not checked."""
    address = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:28283"
    path = sys.argv[2] if len(sys.argv) > 2 else "/-/healthy"
    if answers(http.client.HTTPConnection(address, timeout=2), path):
        return 0
    unverified = ssl.create_default_context()
    unverified.check_hostname = False
    unverified.verify_mode = ssl.CERT_NONE
    return 0 if answers(http.client.HTTPSConnection(address, timeout=2, context=unverified), path) else 1


if __name__ == "__main__":
    raise SystemExit(main())
