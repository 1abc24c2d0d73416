//! A stand-in for an OpenTelemetry collector: takes what is pushed and hands it to the test.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use gimbal::config::Otlp;
use tokio::sync::mpsc;

use super::SOON;

/// One push.
#[derive(Debug)]
pub(crate) struct Pushed {
    pub(crate) path: String,
    /// Headers in lower case.
    pub(crate) headers: String,
    pub(crate) body: Vec<u8>,
}

/// A collector.
#[derive(Debug)]
pub(crate) struct Collector {
    address: SocketAddr,
    pushed: mpsc::Receiver<Pushed>,
    status: Arc<AtomicU16>,
}

impl Collector {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, pushed) = mpsc::channel(1_000);
        let status = Arc::new(AtomicU16::new(200));
        let answers = Arc::clone(&status);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if let Some(push) = take(&stream.unwrap(), answers.load(Ordering::Relaxed))
                    && sender.blocking_send(push).is_err()
                {
                    return;
                }
            }
        });
        Self {
            address,
            pushed,
            status,
        }
    }

    /// Answers this from now on.
    pub(crate) fn answers(&self, status: u16) {
        self.status.store(status, Ordering::Relaxed);
    }

    /// Settings that push here often.
    pub(crate) fn settings(&self) -> Otlp {
        Otlp {
            endpoint: Some(format!("http://{}", self.address)),
            interval: std::time::Duration::from_millis(1),
            timeout: SOON,
            ..Otlp::default()
        }
    }

    /// The next push to this path.
    pub(crate) async fn next(&mut self, path: &str) -> Pushed {
        loop {
            let next = tokio::time::timeout(SOON, self.pushed.recv()).await;
            let push = next.expect("no push").unwrap();
            if push.path == path {
                return push;
            }
        }
    }
}

fn take(stream: &TcpStream, status: u16) -> Option<Pushed> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let path = line.split(' ').nth(1)?.to_owned();
    let mut headers = String::new();
    while !headers.ends_with("\r\n\r\n") {
        if reader.read_line(&mut headers).ok()? == 0 {
            return None;
        }
        if headers == "\r\n" {
            break;
        }
    }
    let headers = headers.to_ascii_lowercase();
    let length = headers
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"))?;
    let mut body = vec![0; length.trim().parse().ok()?];
    reader.read_exact(&mut body).ok()?;
    let mut writer = stream;
    write!(
        writer,
        "HTTP/1.1 {status} Said\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    )
    .ok()?;
    Some(Pushed { path, headers, body })
}
