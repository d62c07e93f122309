"""The stub and the servicer of Snakepit's service."""

import grpc
import snakepit_bridge_pb2 as messages

SERVICE = "snakepit.bridge.BridgeService"
METHODS = ("Ping", "InitializeSession", "CleanupSession", "Heartbeat", "ExecuteTool")


class BridgeServiceServicer:
    pass


class BridgeServiceStub:
    def __init__(self, channel):
        for name in METHODS:
            call = channel.unary_unary(
                f"/{SERVICE}/{name}",
                request_serializer=lambda message: message.SerializeToString(),
                response_deserializer=getattr(messages, f"{name}Response").FromString,
            )
            setattr(self, name, call)


def add_BridgeServiceServicer_to_server(servicer, server):
    handlers = {
        name: grpc.unary_unary_rpc_method_handler(
            getattr(servicer, name),
            request_deserializer=getattr(messages, f"{name}Request").FromString,
            response_serializer=lambda message: message.SerializeToString(),
        )
        for name in METHODS
        if hasattr(servicer, name)
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
