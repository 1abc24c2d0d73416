"""Filters that change what travels: properties, ext fields, and the bodies of messages."""

from __future__ import annotations

import json
import re
import time

from harness.clients import Result
from harness.field import Field
from probes.caller import Truth, messages

from .scene import Scene, demand

MARKS = """
[config]
[[config.rules]]
name = "on the way in"
codes = [10, 310, 320]
topics = ["*_marked"]
remove_properties = ["secret"]
rename_properties = { old = "new" }
set_properties = { stamp = "{listener} {ip}", from = "{group}" }

[[config.rules]]
name = "answers to sends"
phase = "response"
codes = [10, 310, 320]
topics = ["*_marked"]
set_fields = { MSG_REGION = "elsewhere" }

[[config.rules]]
name = "on the way out"
phase = "response"
codes = [11, 361, 200050]
topics = ["*_marked"]
remove_properties = ["a"]
set_properties = { seen = "{client-id}" }
"""


def rewritten(f: Field) -> None:
    """Properties set, renamed and removed on the way in are so at the broker and the consumer; those of the way out only at the consumer."""
    with Scene(f, "rewritten") as scene:
        scene.put("30-rewrite", MARKS)
        scene.start("30-rewrite")
        running = {name: scene.begin(name, ["marked"], limit=90) for name in (["5.5.0", "4.9.8", "5.5.0 bin", "4.9.4"] if f.full else ["5.5.0", "4.9.8"])}
        for name, client in running.items():
            result = client.finish()["marked"]
            topic = f"{client.process.log.stem}_marked"
            if result["ok"]:
                demand(result, result["regions"] == "[elsewhere]", f"regions {result['regions']}")
                for n in range(20):
                    judge_marks(result, n, pairs(str(result[f"properties {n}"])), topic)
                stored = stored_properties(f, topic)
                demand(result, len(stored) == 20, f"{len(stored)} messages are stored")
                for properties in stored:
                    wrong = {"secret", "old", "seen"} & properties.keys() or {"stamp", "new", "a", "from"} - properties.keys()
                    demand(result, not wrong, f"{wrong} of what is stored: {properties}")
            scene.note("rewritten", name, result, client)


def judge_marks(result: Result, n: int, seen: dict[str, str], topic: str) -> None:
    """The properties of message n as its consumer got them."""
    wanted = {"stamp": "main 127.0.0.1", "from": f"p_g_{topic}", "new": f"value{n}"}
    got = {name: seen.get(name) for name in wanted}
    demand(result, got == wanted, f"message {n}: {got} instead of {wanted}")
    demand(result, not {"secret", "old", "a"} & seen.keys(), f"message {n} still has what was removed: {seen}")
    demand(result, "@marked" in seen.get("seen", ""), f"message {n} was marked by no answer: {seen}")


def pairs(text: str) -> dict[str, str]:
    """A Java map of texts without commas."""
    return dict(pair.split("=", 1) for pair in text.strip("{}").split(", ") if "=" in pair)


def stored_properties(f: Field, topic: str) -> list[dict[str, str]]:
    """The properties of all messages of a topic, from the brokers themselves."""
    truth = Truth(f.cluster)
    found = []
    for broker in ("broker-a", "broker-b"):
        for queue in range(2):
            fields = {"consumerGroup": "suite", "topic": topic, "queueId": str(queue), "queueOffset": "0", "maxMsgNums": "32", "sysFlag": "4",
                      "commitOffset": "0", "suspendTimeoutMillis": "0", "subscription": "*", "subVersion": str(int(time.time() * 1000))}
            answer = truth.call(broker, 11, fields)
            if answer.code == 0:
                found += [record["properties"] for record in messages(answer.body)]
    return found  # type: ignore[return-value]


MASKS = """
[config]
[[config.rules]]
name = "cards"
topics = ["*_masked", "*_maskedpop"]
except_groups = ["*_trusted"]
mask = ["card"]
drop = ["person.mail"]
"""


def redacted(f: Field) -> None:
    """One group gets masked fields by push, pull, POP and query, another gets everything; nothing is lost and what is stored stays."""
    with Scene(f, "redacted") as scene:
        scene.put("30-redact", MASKS)
        scene.start("30-redact")
        plan = {"5.5.0": ["masked", "maskedpop"], "4.9.8": ["masked"], **({"4.9.4": ["masked"], "5.5.0 bin": ["masked"]} if f.full else {})}
        running = {name: scene.begin(name, scenarios, limit=120) for name, scenarios in plan.items()}
        for name, client in running.items():
            for scenario, result in client.finish().items():
                if result["ok"]:
                    judge_masks(result, scenario)
                scene.note("redacted: pops" if scenario == "maskedpop" else "redacted", name, result, client)


def judge_masks(result: Result, scenario: str) -> None:
    """What each way showed to each group."""
    ways = ["push"] if scenario == "maskedpop" else ["push", "pull"]
    for how, clear in [(f"{way} {kind}", kind == "trusted") for way in ways for kind in ("masked", "trusted")] + [("query", False)]:
        count = 1 if how == "query" else 12
        wanted = {"count": count, "notes": count, "cards": count if clear else 0, "mails": count if clear else 0}
        seen = {what: result.get(f"{how} {what}") for what in wanted}
        demand(result, seen == wanted, f"{how}: {seen} instead of {wanted}; {result.get(how)}")
        sample = str(result.get(how)).replace("'", '"')
        shown = re.search(r'"card":"([^"]*)"', sample)
        demand(result, shown and shown[1] == ("4111-1111" if clear else "***"), f"{how}: {sample}")
        if shown:
            demand(result, "Ada" in json.loads(sample)["person"]["name"], f"{how}: {sample}")
