"""The messages of Snakepit's service that the tests need, with the field names of its protocol."""

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

TEXT, BOOL = descriptor_pb2.FieldDescriptorProto.TYPE_STRING, descriptor_pb2.FieldDescriptorProto.TYPE_BOOL
MESSAGES = {
    "PingRequest": {"message": TEXT},
    "PingResponse": {"message": TEXT},
    "InitializeSessionRequest": {"session_id": TEXT},
    "InitializeSessionResponse": {"success": BOOL},
    "CleanupSessionRequest": {"session_id": TEXT},
    "CleanupSessionResponse": {"success": BOOL},
    "HeartbeatRequest": {"session_id": TEXT},
    "HeartbeatResponse": {},
    "ExecuteToolRequest": {"session_id": TEXT, "tool_name": TEXT},
    "ExecuteToolResponse": {"success": BOOL, "error_message": TEXT},
}

_file = descriptor_pb2.FileDescriptorProto(name="ours.proto", package="ours", syntax="proto3")
for _name, _fields in MESSAGES.items():
    _message = _file.message_type.add(name=_name)
    for _number, (_field, _type) in enumerate(_fields.items(), 1):
        _message.field.add(name=_field, number=_number, type=_type, label=1)
_pool = descriptor_pool.DescriptorPool()
_pool.Add(_file)
for _name in MESSAGES:
    globals()[_name] = message_factory.GetMessageClass(_pool.FindMessageTypeByName(f"ours.{_name}"))
