"""A proxy through which ollama.com is a stand-in: takes CONNECT ollama.com:443, ends the TLS with the certificate given, and
passes the bytes on to a port of this machine. Other hosts are refused."""

import socket
import ssl
import sys
import threading

certificate, key, upstream = sys.argv[1], sys.argv[2], int(sys.argv[3])
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate, key)


def pump(source, sink):
    try:
        while data := source.recv(65536):
            sink.sendall(data)
    except OSError:
        pass
    for end in (source, sink):
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def serve(client):
    head = b""
    while b"\r\n\r\n" not in head:
        part = client.recv(4096)
        if not part:
            return
        head += part
    if not head.startswith(b"CONNECT ollama.com:443 "):
        client.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
        client.close()
        return
    client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    inner = context.wrap_socket(client, server_side=True)
    behind = socket.create_connection(("127.0.0.1", upstream))
    threading.Thread(target=pump, args=(behind, inner), daemon=True).start()
    pump(inner, behind)


listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
while True:
    connection, _ = listener.accept()
    threading.Thread(target=serve, args=(connection,), daemon=True).start()
