"""A real gRPC server with the standard health service, on a free port which it prints. With key and certificate: TLS."""

import sys
from concurrent import futures

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

server = grpc.server(futures.ThreadPoolExecutor(2))
servicer = health.HealthServicer()
states = health_pb2.HealthCheckResponse
for name, state in [("", states.SERVING), ("up.Service", states.SERVING), ("down", states.NOT_SERVING), ("new", states.UNKNOWN)]:
    servicer.set(name, state)
health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
if len(sys.argv) > 1:
    key, certificate = (open(path, "rb").read() for path in sys.argv[1:])
    port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([(key, certificate)]))
else:
    port = server.add_insecure_port("127.0.0.1:0")
server.start()
print(port, flush=True)
server.wait_for_termination()
