//! A process that has run out of descriptors.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use gimbal::protocol::Code;
use tokio::time::Instant;

use crate::support::SOON;

/// What the process may have open: some for itself, the others for clients.
const DESCRIPTORS: usize = 64;

/// A proxy that may have few descriptors; its log can be waited for.
struct Poor {
    child: Child,
    lines: Receiver<String>,
    /// What it said until now, for whoever waits in vain.
    said: Vec<String>,
}

impl Poor {
    fn start() -> Self {
        // What was left open by whoever runs the tests would count as well.
        let command = format!(
            "for fd in /proc/self/fd/*; do fd=${{fd##*/}}; [ $fd -le 2 ] || eval \"exec $fd>&-\"; done\n\
             ulimit -n {DESCRIPTORS} && exec {} run --nameserver 127.0.0.1:1 --listen 127.0.0.1:0 --state-dir '' --workers 1",
            env!("CARGO_BIN_EXE_gimbal")
        );
        let mut child = Command::new("bash")
            .args(["-c", &command])
            .env("GIMBAL_ADMIN__BIND", "")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            stderr
                .lines()
                .map_while(Result::ok)
                .try_for_each(|line| sender.send(line))
        });
        Self {
            child,
            lines,
            said: Vec::new(),
        }
    }

    /// The first line with `text` that comes within `limit`.
    fn line_within(&mut self, text: &str, limit: Duration) -> Option<String> {
        let end = Instant::now() + limit;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let line = self.lines.recv_timeout(left).ok()?;
            self.said.push(line.clone());
            if line.contains(text) {
                return Some(line);
            }
        }
    }

    fn wait_for(&mut self, text: &str) -> String {
        match self.line_within(text, SOON) {
            Some(line) => line,
            None => panic!("no line with {text:?} in: {:#?}", self.said),
        }
    }
}

impl Drop for Poor {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

#[test]
fn without_descriptors_clients_wait_and_are_served_when_some_come_free() {
    let mut poor = Poor::start();
    let said = poor.wait_for("limits.connections");
    assert!(
        said.contains(&format!("the system allows {DESCRIPTORS}")),
        "{said}"
    );
    let line = poor.wait_for("listening");
    let address = line
        .split("main=")
        .nth(1)
        .and_then(|rest| rest.split(['"', ' ', ',']).next());
    let address: SocketAddr = address.unwrap().parse().unwrap();
    let connect = || TcpStream::connect_timeout(&address, SOON).unwrap();
    let mut many = Vec::new();
    let line = loop {
        assert!(
            many.len() < 4 * DESCRIPTORS,
            "{} are served: {:#?}",
            many.len(),
            poor.said
        );
        many.push(connect());
        // The first ones need no look at the log.
        let patience = Duration::from_millis(if many.len() < DESCRIPTORS { 0 } else { 500 });
        if let Some(line) = poor.line_within("cannot accept", patience) {
            break line;
        }
    };
    assert!(line.contains("descriptors") || line.contains("files"), "{line}");
    drop(many);
    let mut late = connect();
    let command = gimbal::protocol::Command::request(Code(3_442), 7);
    late.write_all(&command.encode().unwrap().to_bytes()).unwrap();
    late.set_read_timeout(Some(SOON)).unwrap();
    let mut answer = [0; 8];
    if let Err(error) = late.read_exact(&mut answer) {
        while poor.line_within("", Duration::ZERO).is_some() {}
        panic!("not served: {error}; {:#?}", poor.said);
    }
}
