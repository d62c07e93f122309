"""An adapter with two tools, as users of Snakepit write it."""

from snakepit_bridge import telemetry


class ShopAdapter:
    def set_session_context(self, context):
        self.context = context

    def execute_tool(self, tool_name, arguments, context):
        with telemetry.span("tool.execution", {"tool": tool_name}, telemetry.get_correlation_id()):
            if tool_name == "refund":
                raise ValueError("nothing was paid")
            telemetry.emit("tool.result_size", {"bytes": 10}, {"tool": tool_name})
            return {"ok": True}
