"""Scenarios with RocketMQ's own tools: mqadmin, static topics made by it, and the benchmark."""

from __future__ import annotations

import os
import re
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

from .clients import Result
from .field import Field
from .process import Process
from .servers import JVM

LIVE_CLIENT = "5.5.0"


def mqadmin(f: Field, nameserver: str, *words: str) -> str:
    """What one mqadmin command prints."""
    home = f.work / "homes" / "mqadmin"  # also the working folder: consumerStatus writes files there
    home.mkdir(parents=True, exist_ok=True)
    command = ["java", *JVM, "-Xmx256m", f"-Duser.home={home}", "-cp", f.classpath,
               "org.apache.rocketmq.tools.command.MQAdminStartup", *words, "-n", nameserver]
    environment = {**os.environ, "ROCKETMQ_HOME": str(home)}
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=home, env=environment)
    except subprocess.TimeoutExpired:
        return "no end within 120 s"
    # The tool tells at length how it set up its own log.
    output = "".join(line for line in (done.stdout + done.stderr).splitlines(True) if "|-" not in line)
    with (f.work / "logs" / "mqadmin.log").open("a") as file:
        file.write(f"\n$ mqadmin {' '.join(words)} -n {nameserver}\n{output}")
    return output


def commands(f: Field, topic: str, group: str, side: str) -> list[tuple[list[str], list[str]]]:
    """The commands, and patterns each output must show. Failures of mqadmin exit with 0, so only the output counts."""
    masters = sorted(f.cluster.masters().values())
    fresh = f"admin_{side}_{int(time.time())}"
    shown = [re.escape(address) for address in masters] if side == "direct" else [r"127\.0\.0\.1:\d+"] * 2
    return [
        (["clusterList"], [r"broker-a\s+0\s", r"broker-b\s+0\s", r"V5_5_0"]),
        (["topicRoute", "-t", topic], [r'"brokerName":"broker-a"', r'"brokerName":"broker-b"', *shown]),
        (["updateTopic", "-c", "DefaultCluster", "-t", fresh, "-r", "2", "-w", "2"], [r"create topic to .* success\.(?s:.*)create topic to .* success\."]),
        (["topicStatus", "-t", topic], [r"broker-a", r"broker-b"]),
        (["consumerProgress", "-g", group], [r"broker-a", r"broker-b", r"Consume Diff Total: 0"]),
        (["consumerConnection", "-g", group], [r"JAVA", r"V5_5_0", r"CONSUME_PASSIVELY"]),
        (["consumerStatus", "-g", group], [r"Rebalance OK|Same subscription"]),
        (["resetOffsetByTime", "-g", group, "-t", topic, "-s", "0"], [r"broker-a", r"broker-b"]),
    ]


def one_command(f: Field, nameserver: str, words: list[str], patterns: list[str]) -> Result:
    """Runs a command and looks for what it must show."""
    output = mqadmin(f, nameserver, *words)
    missing = [pattern for pattern in patterns if not re.search(pattern, output)]
    if missing or "Exception:" in output:
        return {"ok": False, "why": f"output lacks {missing}" if missing else "an exception", "log": str(f.work / "logs" / "mqadmin.log")}
    return {"ok": True}


def admin(f: Field) -> None:
    """mqadmin through a Gimbal that allows it, with a live consumer behind Gimbal, against the same direct."""
    if f.binary:
        addresses = {"direct": f.cluster.nameserver, "gimbal": f.gimbal("admin", allow="admin,request-reply").start().address}
    else:
        addresses = {"direct": f.cluster.nameserver}
    live = {side: f.begin(LIVE_CLIENT, side, address, ["watch"], limit=320, seconds=200) for side, address in addresses.items()}
    for side, client in live.items():
        client.await_event("watch", 90)
    time.sleep(6)  # the offsets are committed every 5 s
    jobs = []
    for side, client in live.items():
        _, topic, group = next(line for line in client.events() if line.startswith("@watch")).split(" ")
        jobs += [(side, words, patterns) for words, patterns in commands(f, topic, group, side)]
    jobs.sort(key=lambda job: job[1][0] == "resetOffsetByTime")
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda job: one_command(f, addresses[job[0]], job[1], job[2]), jobs))
    for (side, words, _), result in zip(jobs, results):
        f.table.put(f"mqadmin {words[0]}", "mqadmin", side, result)
    for side, client in live.items():
        again = time.monotonic() + 60
        while client.process.running() and time.monotonic() < again and "again" not in client.process.output():
            time.sleep(0.5)
        client.process.stop(9)
        if client.watch:
            client.watch.remove(client.process.pid)


def static_topic(f: Field) -> None:
    """A topic of logical queues: clients name a broker that does not exist, and everything arrives."""
    for name in ("5.5.0", "5.1.0"):
        running = {}
        for side in f.sides():
            prefix = f"f{f.runs + 1}{name.replace('.', '')}{side[0]}"
            for scenario in ("sync", "order", "pull"):
                mqadmin(f, f.cluster.nameserver, "updateStaticTopic", "-c", "DefaultCluster", "-t", f"{prefix}_{scenario}", "-qn", "4")
            running[side] = f.begin(name, side, f.address(side), ["sync", "order", "pull"], topics=False, limit=150)
        for side, client in running.items():
            for scenario, result in client.finish().items():
                f.table.put(f"static topic: {scenario}", name, side, result)


def benchmark(f: Field) -> None:
    """The project's own benchmark, producer and consumer, for a minute without an error."""
    for side in ["gimbal"] if f.binary else ["direct"]:
        topic = f"bench{side[0]}{int(time.time())}"
        f.cluster.create_topic(topic, 4)
        home = f.work / "homes" / topic
        home.mkdir(parents=True, exist_ok=True)
        base = ["java", "-Xmx512m", "-XX:+UseSerialGC", f"-Duser.home={home}", "-cp", f.classpath]
        place = ["-n", f.address(side), "-t", topic]
        consumer = Process("benchmark consumer", [*base, "org.apache.rocketmq.example.benchmark.Consumer", *place, "-g", f"{topic}_c", "-ri", "5000"],
                           f.work / "logs" / f"{topic}-consumer.log")
        producer = Process("benchmark producer", [*base, "org.apache.rocketmq.example.benchmark.Producer", *place, "-w", "4", "-s", "128", "-ri", "5000"],
                           f.work / "logs" / f"{topic}-producer.log")
        if side == "gimbal":
            f.watch.add(producer.pid, f"benchmark ({topic})")
            f.watch.add(consumer.pid, f"benchmark ({topic})")
        time.sleep(68)
        sent, taken = producer.output(), consumer.output()
        for process in (producer, consumer):
            f.watch.remove(process.pid)
            process.stop(9)
        f.table.put("benchmark for a minute", "benchmark", side, verdict(f, sent, taken, topic))


def verdict(f: Field, sent: str, taken: str, topic: str) -> Result:
    """No line of either side may tell of a failure, and both must have moved messages."""
    log = str(f.work / "logs" / f"{topic}-producer.log")
    failed = [int(n) for n in re.findall(r"(?:Send Failed|Response Failed): (\d+)", sent)] + [int(n) for n in re.findall(r"Consume Fail: (\d+)", taken)]
    rates = [int(n) for n in re.findall(r"Send TPS: (\d+)", sent)], [int(n) for n in re.findall(r"Consume TPS: (\d+)", taken)]
    if f.watch.bypasses.get(f"benchmark ({topic})"):
        return {"ok": False, "why": "went past Gimbal", "log": log}
    if len(rates[0]) < 8 or not all(rates[0]) or not any(rates[1]):
        return {"ok": False, "why": f"rates {rates}", "log": log}
    if any(failed):
        return {"ok": False, "why": f"failures: {failed}", "log": log}
    return {"ok": True, "rate": sum(rates[0]) // len(rates[0])}
