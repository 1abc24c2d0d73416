"""Refuses messages whose JSON body is not as the schema of their topic says."""
import json

from wit_world import exports
from wit_world.imports import command, messages

from gimbal import MESSAGE_ILLEGAL, SENDS, answer, configured, drop, forward, interest, logged

from schema import check, known

# Schemas by topic.
schemas = {}


class Lifecycle(exports.Lifecycle):
    @configured
    def init(self, config):
        schemas.update(config["schemas"])
        for topic, schema in schemas.items():
            known(schema, f"schemas.{topic}")
        return [interest(codes=SENDS, topics=list(schemas), needs_body=True)]


class Requests(exports.Requests):
    @logged
    def on_request(self, code):
        schema = schemas.get(command.topic())
        if schema is None:
            return forward()
        for index in range(messages.count()):
            wrong = fault(schema, messages.body(index))
            if wrong:
                return drop() if command.is_oneway() else answer(MESSAGE_ILLEGAL, f"message {index}: {wrong}")
        return forward()


def fault(schema, body):
    """What is wrong with a body, if something is."""
    try:
        value = json.loads(body)
    except ValueError as error:
        return f"it is no JSON: {error}"
    return next(check(schema, value, "body"), None)
