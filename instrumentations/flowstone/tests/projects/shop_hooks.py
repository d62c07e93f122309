"""A hook of the project's users."""


def name_the_owner(span, step_context):
    span.set_attribute("shop.owner", step_context.op.name)
