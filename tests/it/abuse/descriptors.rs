//! A process that has run out of descriptors.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use gimbal::protocol::Code;

use crate::support::SOON;

/// A proxy that may have few descriptors; its log can be waited for.
struct Poor {
    child: Child,
    lines: Receiver<String>,
}

impl Poor {
    fn start() -> Self {
        let command = format!(
            "ulimit -n 64 && exec {} run --nameserver 127.0.0.1:1 --listen 127.0.0.1:0 --state-dir '' --workers 1",
            env!("CARGO_BIN_EXE_gimbal")
        );
        let mut child = Command::new("sh")
            .args(["-c", &command])
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
        Self { child, lines }
    }

    fn wait_for(&self, text: &str) -> String {
        loop {
            let line = self.lines.recv_timeout(SOON).expect(text);
            if line.contains(text) {
                return line;
            }
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
    let poor = Poor::start();
    let said = poor.wait_for("limits.connections");
    assert!(said.contains("the system allows 64"), "{said}");
    let line = poor.wait_for("listening");
    let address = line
        .split("main=")
        .nth(1)
        .and_then(|rest| rest.split(['"', ' ', ',']).next());
    let address: SocketAddr = address.unwrap().parse().unwrap();
    let connect = || TcpStream::connect_timeout(&address, SOON).unwrap();
    let many: Vec<_> = (0..100).map(|_| connect()).collect();
    let line = poor.wait_for("cannot accept");
    assert!(line.contains("descriptors") || line.contains("files"), "{line}");
    drop(many);
    let mut late = connect();
    let command = gimbal::protocol::Command::request(Code(3_442), 7);
    late.write_all(&command.encode().unwrap().to_bytes()).unwrap();
    late.set_read_timeout(Some(SOON)).unwrap();
    let mut answer = [0; 8];
    late.read_exact(&mut answer).unwrap();
}
