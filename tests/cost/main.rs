//! What one relayed command costs in system calls and in allocations, which no other work on the machine changes.
//!
//! Proxy, client and broker are threads of this process. Whatever the proxy's threads do is counted, what client and
//! broker do is not. Clients go in step: all commands of a window leave in one write, and the next window leaves when
//! the last one has been answered.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking, and tells what it counted"
)]

#[path = "../bench/proxy/frames.rs"]
#[expect(dead_code, reason = "the bench uses more of it")]
mod frames;
#[path = "../bench/proxy/sink.rs"]
#[expect(dead_code, reason = "the bench runs it as a process")]
mod sink;

mod counted;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use counted::Count;
use frames::{Ring, Traffic};
use gimbal::config::Sources;
use gimbal::protocol::Kind;
use gimbal::proxy::Proxy;

/// Windows answered before counting begins, and counted.
const WARM: u64 = 200;
const COUNTED: u64 = 500;

/// Runs a proxy in front of the broker on threads of its own, until the process ends; where it listens.
fn proxy() -> SocketAddr {
    let doors = sink::Doors::bind();
    let [nameserver, _] = doors.addresses();
    std::thread::spawn(|| {
        counted::leave_out_this_thread();
        sink::serve(doors);
    });
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let variables = [
            ("GIMBAL_NAMESERVERS", nameserver.to_string()),
            ("GIMBAL_LISTENER__0__BIND", "127.0.0.1:0".to_owned()),
            ("GIMBAL_STATE_DIR", String::new()),
            ("GIMBAL_FILTERS", String::new()),
            ("GIMBAL_WORKERS", "1".to_owned()),
        ];
        let sources = Sources {
            file: None,
            variables: variables.map(|(name, value)| (name.to_owned(), value)).into(),
            flags: Vec::new(),
        };
        let mut config = sources.load().unwrap().config;
        config.admin = None;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let proxy = Proxy::start(config).await.unwrap();
            tell.send(proxy.addresses()[0].1).unwrap();
            std::future::pending::<()>().await;
        });
    });
    told.recv().unwrap()
}

/// A client that has one window of commands in flight.
struct Client {
    stream: TcpStream,
    window: Vec<u8>,
    commands: u64,
    scratch: Vec<u8>,
}

impl Client {
    fn connect(address: SocketAddr, kind: Kind, commands: u64) -> Self {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream.write_all(&frames::heartbeat(kind, 1)).unwrap();
        let ring = Ring::new(Traffic::Send, kind, usize::try_from(commands).unwrap());
        let mut this = Self {
            stream,
            window: ring.slice(0, commands).to_vec(),
            commands,
            scratch: vec![0; 256 << 10],
        };
        this.answers(1);
        this
    }

    /// Reads so many answers, all there are.
    fn answers(&mut self, count: u64) {
        let mut held = 0;
        let mut left = count;
        while left > 0 {
            let read = self.stream.read(&mut self.scratch[held..]).unwrap();
            assert!(read > 0, "the proxy closed the connection");
            held += read;
            let mut at = 0;
            while let Some(total) = sink::total(&self.scratch[at..held]).filter(|total| at + total <= held) {
                at += total;
                left -= 1;
            }
            self.scratch.copy_within(at..held, 0);
            held -= at;
        }
        assert_eq!(held, 0, "nothing but the answers");
    }

    fn window(&mut self) {
        self.stream.write_all(&self.window).unwrap();
        self.answers(self.commands);
    }

    /// What each command costs the proxy.
    fn cost(&mut self) -> Count {
        for _ in 0..WARM {
            self.window();
        }
        let before = Count::now();
        for _ in 0..COUNTED {
            self.window();
        }
        Count::now().since(&before)
    }
}

/// Hundredths of a thing for each command.
fn each(count: u64, commands: u64) -> u64 {
    count * 100 / (commands * COUNTED)
}

/// One test, because the counters are those of the whole process.
#[test]
fn a_relayed_command_takes_few_system_calls_and_allocations() {
    counted::leave_out_this_thread();
    let address = proxy();
    for bar in BARS {
        let mut client = Client::connect(address, bar.kind, bar.window);
        let found = client.cost();
        println!("{} of {:?} in flight: {found}", bar.window, bar.kind);
        let calls = each(found.calls(), bar.window);
        let allocations = each(found.allocations, bar.window);
        assert!(
            calls > 0 && allocations > 0,
            "the proxy was counted: {calls} calls, {allocations} allocations"
        );
        assert!(
            calls <= bar.calls,
            "{} in flight, {:?}: {calls} hundredths of a system call for each command, the bar is {}: {found}",
            bar.window,
            bar.kind,
            bar.calls
        );
        assert!(
            allocations <= bar.allocations,
            "{} in flight, {:?}: {allocations} hundredths of an allocation for each command, the bar is {}: {found}",
            bar.window,
            bar.kind,
            bar.allocations
        );
    }
}

/// At most so many, in hundredths, for each command. Lower them when less is needed; they are what was counted, and a
/// little more, because the system may deliver a window in pieces.
struct Bar {
    kind: Kind,
    window: u64,
    calls: u64,
    allocations: u64,
}

const fn bar(kind: Kind, window: u64, calls: u64, allocations: u64) -> Bar {
    Bar {
        kind,
        window,
        calls,
        allocations,
    }
}

// On each side a wait, a read and a write.
const BARS: [Bar; 4] = [
    bar(Kind::Json, 1, 620, 520),
    bar(Kind::Json, 64, 30, 320),
    bar(Kind::Binary, 1, 620, 320),
    bar(Kind::Binary, 64, 30, 120),
];
