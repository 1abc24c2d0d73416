"""Codes, verdicts, and the boundary: exceptions end a call, and are logged here before they leave the guest."""
import functools
import json
import traceback

from componentize_py_types import Err
from wit_world.imports import log
from wit_world.imports.types import (Answer, Interest, Level, Phase, Verdict_Answer, Verdict_Close, Verdict_Delay,
                                     Verdict_Drop, Verdict_Forward)

# Codes of sends: plain, second version, batch, reply, second version.
SENDS = [10, 310, 320, 324, 325]
# Codes whose answers bring messages: pull, lite pull, pop.
PULLS = [11, 361, 200050]
# Response codes that fit refusals.
SYSTEM_ERROR, MESSAGE_ILLEGAL, NO_PERMISSION = 1, 13, 16


def logged(hook):
    """A hook, such as on_request, that tells the log why it ended."""
    @functools.wraps(hook)
    def call(*given):
        try:
            return hook(*given)
        except Exception:
            log.write(Level.ERROR, traceback.format_exc())
            raise
    return call


def configured(init):
    """The method init: gets the configuration as a dictionary; what it raises is for the operator to read."""
    @functools.wraps(init)
    def call(self, text):
        try:
            return init(self, json.loads(text))
        except Exception as error:
            raise Err(f"{error}") from error
    return call


def interest(codes=(), phase=Phase.REQUEST, topics=(), groups=(), needs_body=False):
    """A kind of command to see; what is not given means any."""
    return Interest(list(codes), phase, list(topics), list(groups), needs_body)


forward, delay, drop, close = Verdict_Forward, Verdict_Delay, Verdict_Drop, Verdict_Close


def answer(code, remark, fields=(), body=b""):
    """Ends the command here; the client gets this response."""
    return Verdict_Answer(Answer(code, remark, list(fields), body))
