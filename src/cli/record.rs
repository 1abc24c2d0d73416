//! `gimbal record`: commands of a running Gimbal into a file, for `gimbal replay` and for tests of filters.

use std::fs::OpenOptions;
use std::io::{self, BufRead, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::FAILED;
use super::asking::{Where, encoded};
use super::signals::Signals;
use crate::author::corpus::{Bounds, Summary, Writer};
use crate::config::value::Size;

/// Write the commands of a running Gimbal to a file, as filters are about to see them
///
/// One line of JSON each: when, which way, from whom, and the command. Keys, signatures, tokens and passwords are masked;
/// bodies are left out unless asked for. Nothing is slowed down for it: commands that come faster than they can be
/// written are left out, and the file says how many. `gimbal replay` runs a filter over it; `gimbal filter bench` and
/// `gimbal filter test` read it too.
///
/// Ends at the first of --max, --size, --for and Ctrl-C, and the file is whole then.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
#[expect(
    clippy::doc_markdown,
    reason = "these comments are the help text, printed as they are"
)]
pub(super) struct Args {
    #[command(flatten)]
    at: Where,

    /// The file to write; it must not exist. - is standard output
    ///
    /// Default: -
    /// Example: -o orders.jsonl
    #[arg(
        long,
        short,
        value_name = "FILE",
        default_value = "-",
        hide_default_value = true,
        verbatim_doc_comment
    )]
    output: PathBuf,

    /// Record bodies, too: what messages say. Bodies that hold passwords are never recorded
    ///
    /// Default: off; a filter that reads bodies then sees empty ones
    #[arg(long, verbatim_doc_comment)]
    bodies: bool,

    /// Request codes, by name or number; answers come with their requests
    ///
    /// Default: all
    /// Example: --code SEND_MESSAGE_V2,310
    #[arg(long, value_name = "CODE[,CODE...]", verbatim_doc_comment)]
    code: Option<String>,

    /// The topic; * and ? stand for what is not known of it
    ///
    /// Default: all
    /// Example: --topic 'orders-*'
    #[arg(long, value_name = "TOPIC", verbatim_doc_comment)]
    topic: Option<String>,

    /// The producer or consumer group
    ///
    /// Default: all
    /// Example: --group billing
    #[arg(long, value_name = "GROUP", verbatim_doc_comment)]
    group: Option<String>,

    /// The client's id, address or user
    ///
    /// Default: all
    /// Example: --client '10.0.0.7*'
    #[arg(long, value_name = "WHO", verbatim_doc_comment)]
    client: Option<String>,

    /// Record about this part of them
    ///
    /// Default: 1
    /// Example: --sample 0.1
    #[arg(long, value_name = "PART", verbatim_doc_comment)]
    sample: Option<f64>,

    /// Stop after this time
    ///
    /// Default: never
    /// Example: --for 60s
    #[arg(long = "for", value_name = "TIME", value_parser = humantime::parse_duration, verbatim_doc_comment)]
    time: Option<Duration>,

    /// Stop after this many commands, answers counted
    ///
    /// Default: 100000
    /// Example: --max 1000
    #[arg(long, value_name = "N", default_value_t = 100_000, hide_default_value = true, verbatim_doc_comment,
          value_parser = clap::value_parser!(u64).range(1..))]
    max: u64,

    /// Stop before the file is larger than this
    ///
    /// Default: 1 GiB
    /// Example: --size 64MiB
    #[arg(long, value_name = "SIZE", default_value = "1 GiB", hide_default_value = true, verbatim_doc_comment,
          value_parser = size)]
    size: Size,
}

const EXAMPLES: &str = "\
Examples:
  gimbal record -o traffic.jsonl --for 60s
  gimbal record -o orders.jsonl --topic 'orders-*' --bodies --max 1000
  gimbal replay traffic.jsonl --filter ./tenants.wasm";

/// Lines that wait for the disk.
const WAITING: usize = 1_024;
/// What is recorded reaches the file at least so often, so that one can look at it meanwhile.
const FLUSH: Duration = Duration::from_millis(500);

/// Why a recording ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// It has what was asked for, or somebody has ended it.
    Done,
    /// The other side has.
    Lost,
}

fn size(text: &str) -> Result<Size, String> {
    let parsed = Size::parse(text).filter(|size| size.0 > 0);
    parsed.ok_or_else(|| "accepted: bytes, or a number with KiB, MiB or GiB, such as 64MiB".to_owned())
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let asking = args.at.asking()?;
    let lines = asking.lines(&format!("/api/v1/record{}", query(args)))?;
    let sink = open(&args.output)?;
    let bounds = Bounds {
        commands: args.max,
        bytes: u64::try_from(args.size.0).unwrap_or(u64::MAX),
    };
    let writer = Writer::new(BufWriter::new(sink), bounds);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start a runtime")?;
    let (sender, received) = mpsc::channel(WAITING);
    // It ends with the process: reading blocks for as long as the other side is silent.
    let reading = std::thread::Builder::new().name("gimbal-record".to_owned());
    reading
        .spawn(move || read(lines, &sender))
        .context("cannot start a thread")?;
    let (summary, end) = runtime.block_on(write(writer, received, args.time))?;
    tell(&told(&summary, &args.output));
    if end == End::Lost {
        tell(&format!("{} has ended the recording", asking.base()));
        return Ok(ExitCode::from(FAILED));
    }
    Ok(ExitCode::SUCCESS)
}

/// Hands over lines until either side has enough.
fn read(mut lines: impl BufRead, sender: &mpsc::Sender<String>) {
    loop {
        let mut line = String::new();
        match lines.read_line(&mut line) {
            Ok(count) if count > 0 => {}
            Ok(_) | Err(_) => return,
        }
        if sender.blocking_send(line).is_err() {
            return;
        }
    }
}

/// Writes lines until there are enough, time is up, somebody ends it, or none can come any more.
async fn write(
    mut writer: Writer<impl Write>,
    mut lines: mpsc::Receiver<String>,
    time: Option<Duration>,
) -> anyhow::Result<(Summary, End)> {
    let mut signals = Signals::new().context("cannot listen to signals")?;
    let mut flush = tokio::time::interval(FLUSH);
    let until = time.map(|time| Instant::now() + time);
    let end = loop {
        let time_is_up = async {
            match until {
                Some(until) => sleep_until(until).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            _ = signals.stop() => break End::Done,
            () = time_is_up => break End::Done,
            line = lines.recv() => match line {
                None => break End::Lost,
                Some(line) if writer.put(&line)? => {}
                Some(_) => break End::Done,
            },
            _ = flush.tick() => writer.flush()?,
        }
    };
    Ok((writer.finish()?, end))
}

fn open(path: &Path) -> anyhow::Result<Box<dyn Write>> {
    if path == Path::new("-") {
        return Ok(Box::new(io::stdout()));
    }
    // What clients say is nobody else's business.
    let opened = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    match opened {
        Ok(file) => Ok(Box::new(file)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            bail!("{} exists; accepted: the name of a new file", path.display())
        }
        Err(error) => bail!("{} cannot be written: {error}", path.display()),
    }
}

fn query(args: &Args) -> String {
    let sample = args.sample.map(|sample| sample.to_string());
    let given = [
        ("code", args.code.as_deref()),
        ("topic", args.topic.as_deref()),
        ("group", args.group.as_deref()),
        ("client", args.client.as_deref()),
        ("sample", sample.as_deref()),
        ("bodies", args.bodies.then_some("true")),
    ];
    let pairs = given
        .into_iter()
        .filter_map(|(name, text)| Some(format!("{name}={}", encoded(text?))));
    match pairs.collect::<Vec<_>>().join("&") {
        query if query.is_empty() => query,
        query => format!("?{query}"),
    }
}

fn told(summary: &Summary, output: &Path) -> String {
    let into = match output {
        path if path == Path::new("-") => String::new(),
        path => format!(" into {}", path.display()),
    };
    let Summary {
        commands,
        bytes,
        left_out,
    } = summary;
    format!("recorded {commands} commands, {bytes} bytes{into}; {left_out} were left out")
}

/// Says it on standard error, which is not the file.
fn tell(text: &str) {
    // Nobody is left to tell when standard error is closed.
    drop(writeln!(io::stderr(), "{text}"));
}
