//! What stands between generator and sink: nothing, `HAProxy`, Gimbal with and without filters, the official Java proxy.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A process that ends with its value.
#[derive(Debug)]
pub(crate) struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself, which the measurement has said then.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

impl Process {
    /// Starts `command` on one core; `taskset` becomes the command, so the process id is its.
    pub(crate) fn pinned(core: usize, command: &mut Command) -> Self {
        let mut pinned = Command::new("taskset");
        pinned
            .args(["-c", &core.to_string()])
            .arg(command.get_program())
            .args(command.get_args());
        pinned.envs(
            command
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        );
        if let Some(dir) = command.get_current_dir() {
            pinned.current_dir(dir);
        }
        Self(pinned.stdout(Stdio::piped()).spawn().unwrap())
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    /// The next line that it prints; empty when it ended.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        let stdout = self.0.stdout.as_mut().unwrap();
        BufReader::with_capacity(1, stdout).read_line(&mut line).unwrap();
        line.trim().to_owned()
    }

    fn ended(&mut self) -> bool {
        self.0.try_wait().unwrap().is_some()
    }
}

/// The sink and where its two parts listen.
#[derive(Debug)]
pub(crate) struct Upstream {
    pub(crate) process: Process,
    pub(crate) nameserver: SocketAddr,
    pub(crate) broker: SocketAddr,
}

impl Upstream {
    /// Starts it on this core.
    pub(crate) fn start(core: usize) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        let mut process = Process::pinned(core, command.arg("--sink"));
        let line = process.line();
        let (nameserver, broker) = line.split_once(' ').expect("the sink prints two addresses");
        Self {
            nameserver: nameserver.parse().unwrap(),
            broker: broker.parse().unwrap(),
            process,
        }
    }
}

/// One of those compared.
#[derive(Debug)]
pub(crate) struct Subject {
    pub(crate) name: &'static str,
    /// Where clients go.
    pub(crate) address: SocketAddr,
    /// Nothing for a direct connection.
    pub(crate) process: Option<Process>,
}

/// What subjects are made from.
#[derive(Debug)]
pub(crate) struct Stand {
    pub(crate) core: usize,
    pub(crate) gimbal: PathBuf,
    /// The jars of the official proxy, if there are any.
    pub(crate) java: Option<PathBuf>,
    /// Where configurations and logs go.
    pub(crate) folder: PathBuf,
}

/// A port that is free, and the one two below, which Gimbal takes too.
pub(crate) fn free_port() -> u16 {
    let free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    loop {
        let port = fastrand::u16(15_000..30_000);
        if free(port) && free(port - 2) {
            return port;
        }
    }
}

/// Waits until somebody listens there.
pub(crate) fn listens(address: SocketAddr, process: &mut Process, limit: Duration) -> Result<(), String> {
    let began = Instant::now();
    loop {
        if TcpStream::connect(address).is_ok() {
            return Ok(());
        }
        if process.ended() {
            return Err("it ended at once".to_owned());
        }
        if began.elapsed() > limit {
            return Err(format!("it does not listen after {} s", limit.as_secs()));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

impl Stand {
    pub(crate) fn direct(upstream: &Upstream) -> Subject {
        Subject {
            name: "direct",
            address: upstream.broker,
            process: None,
        }
    }

    /// `HAProxy` in TCP mode with one thread, one connection to the broker for each of a client.
    pub(crate) fn haproxy(&self, upstream: &Upstream) -> Result<Subject, String> {
        let program = ["/usr/sbin/haproxy", "/usr/local/sbin/haproxy", "/usr/bin/haproxy"]
            .iter()
            .find(|path| Path::new(path).exists())
            .ok_or("haproxy is not installed (apt-get install haproxy)")?;
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let config = self.folder.join("haproxy.cfg");
        let text = format!(
            "global\n  nbthread 1\n  maxconn 9900\n\
             defaults\n  mode tcp\n  timeout connect 5s\n  timeout client 1h\n  timeout server 1h\n\
             listen bench\n  bind {address}\n  server broker {}\n",
            upstream.broker
        );
        fs::write(&config, text).unwrap();
        let mut command = Command::new(program);
        command.arg("-db").arg("-f").arg(config);
        let mut process = Process::pinned(self.core, &mut command);
        listens(address, &mut process, Duration::from_secs(10))?;
        Ok(Subject {
            name: "haproxy",
            address,
            process: Some(process),
        })
    }

    /// Gimbal with so many of the shipped filters: none, one or three.
    pub(crate) fn gimbal(&self, upstream: &Upstream, filters: usize) -> Result<Subject, String> {
        let name = match filters {
            0 => "gimbal",
            1 => "gimbal, 1 filter",
            _ => "gimbal, 3 filters",
        };
        let folder = self.folder.join(format!("gimbal-{filters}"));
        let filter_folder = folder.join("filters.d");
        fs::create_dir_all(&filter_folder).unwrap();
        for (at, (filter, settings)) in FILTERS.iter().enumerate().take(filters) {
            let source =
                Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("filters/{filter}/{filter}.wasm"));
            let target = filter_folder.join(format!("{at}0-{filter}"));
            fs::write(target.with_extension("toml"), settings).unwrap();
            fs::copy(source, target.with_extension("wasm")).unwrap();
        }
        let port = free_port();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let config = folder.join("gimbal.toml");
        let text = format!(
            "nameservers = [\"{}\"]\nstate_dir = \"\"\nfilters = \"{}\"\n\
             [log]\nlevel = \"warn\"\n[[listener]]\nbind = \"{address}\"\n[admin]\nbind = \"\"\n",
            upstream.nameserver,
            if filters == 0 {
                Path::new("")
            } else {
                &filter_folder
            }
            .display(),
        );
        fs::write(&config, text).unwrap();
        let mut command = Command::new(&self.gimbal);
        command.args(["run", "-c"]).arg(config);
        let mut process = Process::pinned(self.core, &mut command);
        listens(address, &mut process, Duration::from_mins(1))?;
        Ok(Subject {
            name,
            address,
            process: Some(process),
        })
    }
}

impl Stand {
    /// The official proxy in cluster mode, with its remoting listener; everything else as it comes.
    pub(crate) fn java(&self, upstream: &Upstream) -> Result<Subject, String> {
        let jars = self
            .java
            .as_ref()
            .ok_or("its jars were not named (--java-proxy FOLDER)")?
            .canonicalize()
            .map_err(|error| format!("its jars: {error}"))?;
        let home = self.folder.join("java");
        fs::create_dir_all(&home).unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let config = home.join("proxy.json");
        let settings = serde_json::json!({
            "rocketMQClusterName": "DefaultCluster", "proxyClusterName": "DefaultCluster", "proxyName": "bench",
            "proxyMode": "CLUSTER", "namesrvAddr": upstream.nameserver.to_string(), "localServeAddr": "127.0.0.1",
            "remotingAccessAddr": "127.0.0.1", "remotingListenPort": address.port(), "grpcServerPort": free_port(),
            "enableRemotingLocalProxyGrpc": false, "tlsTestModeEnable": true,
        });
        fs::write(&config, settings.to_string()).unwrap();
        let mut command = Command::new("java");
        for open in ["lang", "util", "nio", "math", "net", "util.concurrent"] {
            command.arg(format!("--add-opens=java.base/java.{open}=ALL-UNNAMED"));
        }
        command
            .args([
                "--add-opens=java.base/jdk.internal.misc=ALL-UNNAMED",
                "-XX:-UsePerfData",
                "-Xmx512m",
            ])
            .arg(format!("-Duser.home={}", home.display()))
            .arg("-cp")
            .arg(jars.join("*"))
            .args(["org.apache.rocketmq.proxy.ProxyStartup", "-pc"])
            .arg(config)
            .env("ROCKETMQ_HOME", &home)
            .current_dir(&home);
        let mut process = Process::pinned(self.core, &mut command);
        loop {
            let line = process.line();
            if line.contains("startup successfully") {
                break;
            }
            if line.is_empty() && process.ended() {
                return Err("it ended while it started".to_owned());
            }
        }
        Ok(Subject {
            name: "java proxy",
            address,
            process: Some(process),
        })
    }
}

/// The shipped filters that act, with limits that nothing here reaches: a stamp, a count, a look at every send.
const FILTERS: [(&str, &str); 3] = [
    (
        "rate-limit",
        "[config]\n[[config.rules]]\nname = \"bench\"\ndirection = \"send\"\nper = [\"topic\"]\n\
         messages_per_second = 1000000000\n",
    ),
    (
        "rewrite",
        "[config]\n[[config.rules]]\nname = \"stamp\"\ncodes = [10, 310, 320]\n\
         set_properties = { via = \"gimbal\" }\n",
    ),
    (
        "guard",
        "[config]\n[[config.rules]]\nname = \"bench\"\nmax_body_bytes = 65536\nmax_property_bytes = 16384\n\
         required_properties = [\"KEYS\"]\n",
    ),
];
