//! More bytes than there is memory for: they wait where they are, and whoever is small or reads is served.

use std::time::Duration;

use gimbal::protocol::{Command, FLAG_ONEWAY, request as rq, response};
use tokio::task::JoinSet;

use super::{all_gone, eventually};
use crate::support::{Broker, Client, Gimbal, NameServer, Running, Speaks};

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;
const CLIENTS: usize = 100;

/// A proxy with little memory in front of one broker.
async fn little(memory: usize, frame: usize) -> (Broker, NameServer, Running) {
    let broker = Broker::start("a");
    let ns = NameServer::knowing(&[&broker]).await;
    let proxy = Gimbal::before(&[&ns])
        .with(|config| {
            config.limits.memory = memory;
            config.limits.frame = frame;
            config.limits.session_memory = 2 * frame;
            config.limits.queue = 64 * KIB;
        })
        .start()
        .await;
    (broker, ns, proxy)
}

/// Resident memory of this process, bytes.
fn resident() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4_096
}

fn send(client: &mut Client, bytes: usize) -> Command {
    let command = client.command(rq::SEND_MESSAGE_V2, &[("n", "a"), ("b", "T")]);
    command.with_body(vec![b'x'; bytes])
}

#[tokio::test]
async fn a_hundred_announcements_of_the_largest_frame_cost_budget_and_not_memory() {
    let ns = NameServer::start().await;
    let proxy = Gimbal::before(&[&ns])
        .with(|config| {
            config.limits.memory = 64 * MIB;
            config.timeouts.frame = Duration::from_secs(3);
        })
        .start()
        .await;
    let memory = &proxy.proxy.core().memory;
    let counts = &proxy.proxy.core().counts;
    let mut healthy = proxy.client().await;
    healthy.sync().await;
    let before = resident();
    let mut announcing = Vec::new();
    for _ in 0..CLIENTS {
        let mut client = proxy.client().await;
        let frame = 16 * MIB;
        let length = u32::try_from(frame - 4).unwrap().to_be_bytes();
        let mut bytes = length.to_vec();
        bytes.extend_from_slice(&[0, 0, 0, 2, b'{', b'}']);
        client.peer.put_bytes(&bytes).await;
        announcing.push(client);
        healthy.sync().await;
        assert!(memory.clients().used() <= memory.clients().size());
    }
    // One has the whole part of clients, the others wait; none is forgotten.
    for client in &mut announcing {
        client.peer.expect_end().await;
    }
    let grown = resident().saturating_sub(before);
    assert!(grown < 400 * MIB, "{grown} bytes for nothing");
    assert!(counts.memory_waits.total() > 0);
    assert!(counts.frame_late.total() > 0);
    healthy.sync().await;
    drop((announcing, healthy));
    all_gone(&proxy).await;
}

#[tokio::test]
async fn a_hundred_clients_with_the_largest_frame_are_served_one_after_the_other() {
    let (broker, _ns, proxy) = little(4 * MIB, MIB).await;
    let mut clients = JoinSet::new();
    let address = proxy.address;
    for _ in 0..CLIENTS {
        clients.spawn(async move {
            let mut client = Client::connect(address, Speaks::NAMED).await;
            let command = send(&mut client, MIB - 4 * KIB);
            client.peer.put(&command).await;
            let answer = client.answer(command.opaque).await;
            assert_eq!(answer.head.code, response::SUCCESS, "{:?}", answer.command.remark);
        });
    }
    let memory = std::sync::Arc::clone(&proxy.proxy.core().memory);
    let mut links = JoinSet::new();
    for _ in 0..CLIENTS {
        let mut link = broker.accept().await;
        assert!(memory.clients().used() <= memory.clients().size());
        links.spawn(async move {
            let asked = link.expect(rq::SEND_MESSAGE_V2).await;
            assert_eq!(asked.command.body.len(), MIB - 4 * KIB);
            link.answer(&asked, response::SUCCESS).await;
            link
        });
    }
    let mut healthy = proxy.client().await;
    healthy.sync().await;
    while let Some(served) = clients.join_next().await {
        served.unwrap();
    }
    assert!(proxy.proxy.core().counts.memory_waits.total() > 0);
    assert_eq!(proxy.proxy.core().counts.frame_late.total(), 0);
    drop((healthy, links.join_all().await));
    all_gone(&proxy).await;
}

#[tokio::test]
async fn large_answers_take_turns_and_all_arrive() {
    let (broker, _ns, proxy) = little(4 * MIB, MIB).await;
    let mut clients = JoinSet::new();
    let address = proxy.address;
    for _ in 0..20 {
        clients.spawn(async move {
            let mut client = Client::connect(address, Speaks::NAMED).await;
            let answer = client.call(rq::GET_MIN_OFFSET, &[("bname", "a")]).await;
            assert_eq!(answer.command.body.len(), 900 * KIB);
        });
    }
    let memory = &proxy.proxy.core().memory;
    let mut links = JoinSet::new();
    for _ in 0..20 {
        let mut link = broker.accept().await;
        links.spawn(async move {
            let asked = link.expect(rq::GET_MIN_OFFSET).await;
            let answer = Command::request(response::SUCCESS, 0).with_body(vec![b'x'; 900 * KIB]);
            link.answer_with(&asked, answer).await;
            link
        });
        assert!(memory.brokers().used() <= memory.brokers().size());
    }
    while let Some(served) = clients.join_next().await {
        served.unwrap();
    }
    drop(links.join_all().await);
    all_gone(&proxy).await;
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_closed_after_a_while() {
    let broker = Broker::start("a");
    let ns = NameServer::knowing(&[&broker]).await;
    let proxy = Gimbal::before(&[&ns])
        .with(|config| {
            config.limits.queue = 256 * KIB;
            config.timeouts.stalled = Duration::from_secs(2);
        })
        .start()
        .await;
    let mut client = proxy.client().await;
    client.ask(rq::GET_MIN_OFFSET, &[("bname", "a")]).await;
    let mut link = broker.accept().await;
    link.expect(rq::GET_MIN_OFFSET).await;
    let mut push = Command::request(rq::RESET_CONSUMER_CLIENT_OFFSET, 1).with_body(vec![b'x'; 60_000]);
    push.flag |= FLAG_ONEWAY;
    let push = push.encode().unwrap().to_bytes();
    let written = link
        .put_until_stuck(&push, Duration::from_millis(300), 256 * MIB)
        .await;
    assert!(written < 256 * MIB, "{written} bytes went nowhere");
    let core = proxy.proxy.core();
    eventually("it is closed", || core.counts.stalled.total() == 1).await;
    drop(client);
    all_gone(&proxy).await;
}

#[tokio::test]
async fn when_queues_are_full_in_all_only_those_who_fill_them_wait() {
    let (broker, _ns, proxy) = little(4 * MIB, MIB).await;
    let core = proxy.proxy.core();
    let mut push = Command::request(rq::RESET_CONSUMER_CLIENT_OFFSET, 1).with_body(vec![b'x'; 60_000]);
    push.flag |= FLAG_ONEWAY;
    let push = push.encode().unwrap().to_bytes();
    let mut silent = Vec::new();
    // Each may have a little more than limits.queue, so these are enough for 2 MiB together.
    while !core.memory.is_full() {
        assert!(silent.len() < 60, "{} bytes are queued", core.memory.queued());
        let mut client = proxy.client().await;
        client.ask(rq::GET_MIN_OFFSET, &[("bname", "a")]).await;
        let mut link = broker.accept().await;
        link.expect(rq::GET_MIN_OFFSET).await;
        link.put_until_stuck(&push, Duration::from_millis(100), 256 * MIB)
            .await;
        silent.push((client, link));
    }
    let mut healthy = proxy.client().await;
    let opaque = healthy.ask(rq::GET_MAX_OFFSET, &[("bname", "a")]).await;
    let mut link = broker.accept().await;
    let asked = link.expect(rq::GET_MAX_OFFSET).await;
    link.answer(&asked, response::SUCCESS).await;
    assert_eq!(healthy.answer(opaque).await.head.code, response::SUCCESS);
    // One of them wants to say something: it is heard once it has read.
    let (client, _) = &mut silent[0];
    client.ask(gimbal::protocol::Code(3_442), &[]).await;
    eventually("it is not read", || core.counts.memory_holds.total() > 0).await;
    drop((silent, healthy, link));
    all_gone(&proxy).await;
}
