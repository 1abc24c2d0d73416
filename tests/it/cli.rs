//! The binary as an operator meets it: what it prints, and how it exits.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a helper that fails is a test that fails"
)]

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/config/gimbal.toml");
/// Far more than anything here takes; reaching it means that something hangs.
const DEADLINE: Duration = Duration::from_secs(20);

/// The binary, in an environment that says nothing about it.
pub(crate) fn gimbal(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gimbal"));
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if name.starts_with("GIMBAL_") || name == "NAMESRV_ADDR" {
            command.env_remove(name);
        }
    }
    // Several run at a time; one of them would have it.
    command.env("GIMBAL_ADMIN__BIND", "");
    // Compiled filters are kept here, not where the user keeps them.
    command.env("XDG_CACHE_HOME", concat!(env!("CARGO_TARGET_TMPDIR"), "/cache"));
    command.args(args);
    command
}

pub(crate) fn output(command: &mut Command) -> (Option<i32>, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().expect("the binary starts");
    (
        status.code(),
        String::from_utf8(stdout).unwrap(),
        String::from_utf8(stderr).unwrap(),
    )
}

#[test]
fn check_prints_every_problem_at_once() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("gimbal.toml"),
        "nameservers = ['ns1:9876', 'ns2']\nallow = 'admni'\nworkers = 'two'\nwrokers = 2\n\n\
         [[listener]]\nbind = '0.0.0.0'\nadvertise = 'mq.example.org'\nrewrite_store_host = true\n\n\
         [drain]\ndelay = 5\ndeadlin = '1s'\n",
    )
    .unwrap();
    let mut command = gimbal(&["check", "-c", "gimbal.toml"]);
    let (code, stdout, stderr) = output(
        command
            .current_dir(&folder)
            .env("GIMBAL_LIMITS__FRAME", "7")
            .env("GIMBAL_LIMITS_QUEUE", "7"),
    );
    let expected = r#"error: nameservers[1]  (gimbal.toml:1)
  is "ns2", which has no port
  accepted: HOST:PORT, such as "10.0.0.1:9876", "ns.example.org:9876" or "[::1]:9876"

error: allow[0]  (gimbal.toml:2)
  "admni" names no request code
  accepted: admin (closest); admin, request-reply, the name of a request code, or its number

error: workers  (gimbal.toml:3)
  cannot be string "two"
  accepted: a whole number

error: wrokers  (gimbal.toml:4)
  is not a setting
  accepted: workers (closest)

error: listener[0].bind  (gimbal.toml:7)
  is "0.0.0.0", which has no port
  accepted: an IP address and a port, such as "0.0.0.0:9876" or "[::]:9876"

error: listener[0].rewrite_store_host  (gimbal.toml:9)
  needs an IP address to put into messages, but "mq.example.org" is a name
  accepted: an IP address in listener[0].advertise, or false

error: drain.delay  (gimbal.toml:12)
  cannot be integer 5
  accepted: a duration with its unit, such as "800ms", "30s" or "2m"

error: drain.deadlin  (gimbal.toml:13)
  is not a setting
  accepted: deadline (closest)

error: GIMBAL_LIMITS_QUEUE
  names no setting
  accepted: GIMBAL_LIMITS__QUEUE (closest)

error: limits.frame  (GIMBAL_LIMITS__FRAME)
  is 7 B
  accepted: 1 KiB to 2147483647 B

warning: listener[0].brokers  (gimbal.toml:6)
  fixes no broker's port: several Gimbals behind one address would give a broker different ports
  accepted: fixed ports, such as { broker-a = 12002 }; or nothing, if this is the only instance

gimbal.toml cannot be used: 10 errors, 1 warning
"#;
    assert_eq!((code, stderr.as_str()), (Some(1), ""), "{stdout}");
    assert_eq!(stdout, expected);
}

#[test]
fn check_of_a_good_file_is_one_line() {
    let (code, stdout, stderr) = output(&mut gimbal(&["check", "-c", EXAMPLE]));
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    assert_eq!(stdout, format!("{EXAMPLE} can be used\n"));
}

#[test]
fn check_warns_about_a_fleet_and_still_succeeds() {
    let args = [
        "check",
        "--nameserver",
        "a:1;b:2",
        "--advertise",
        "mq.example.org",
    ];
    let (code, stdout, _) = output(&mut gimbal(&args));
    assert_eq!(code, Some(0));
    assert!(stdout.starts_with("warning: listener[0].brokers"), "{stdout}");
    assert!(stdout.ends_with("flags can be used: 1 warning\n"), "{stdout}");
}

#[test]
fn flags_override_variables_and_variables_override_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("g.toml");
    std::fs::write(&file, "nameservers = 'a:1'\n[[listener]]\nbind = 'in the file'\n").unwrap();
    let file = file.to_str().unwrap();
    let variable = ("GIMBAL_LISTENER__0__BIND", "in a variable");

    let (_, stdout, _) = output(&mut gimbal(&["check", "-c", file]));
    assert!(
        stdout.contains("listener[0].bind  (") && stdout.contains("in the file"),
        "{stdout}"
    );
    let (_, stdout, _) = output(gimbal(&["check", "-c", file]).env(variable.0, variable.1));
    assert!(
        stdout.contains("(GIMBAL_LISTENER__0__BIND)\n  is \"in a variable\""),
        "{stdout}"
    );
    let flagged = ["check", "-c", file, "--listen", "in a flag"];
    let (_, stdout, _) = output(gimbal(&flagged).env(variable.0, variable.1));
    assert!(stdout.contains("(--listen)\n  is \"in a flag\""), "{stdout}");
}

#[test]
fn the_usual_variable_names_the_name_servers_when_nothing_else_does() {
    let (code, ..) = output(gimbal(&["check"]).env("NAMESRV_ADDR", "a:1;b:2"));
    assert_eq!(code, Some(0));
    let (code, stdout, _) = output(&mut gimbal(&["check"]));
    assert_eq!(code, Some(1));
    assert!(
        stdout.starts_with("error: nameservers\n  names no name server\n"),
        "{stdout}"
    );
}

#[test]
fn a_command_line_that_makes_no_sense_exits_with_2() {
    for args in [
        &["run", "--nonsense"][..],
        &["check", "--workers", "many"],
        &["nonsense"],
        &[],
    ] {
        let (code, stdout, stderr) = output(&mut gimbal(args));
        assert_eq!((code, stdout.as_str()), (Some(2), ""), "{args:?}");
        assert!(
            stderr.contains("--help") || stderr.contains("Usage: gimbal"),
            "{stderr}"
        );
    }
}

#[test]
fn help_teaches_every_flag_with_its_default() {
    for command in ["run", "check", "dev"] {
        let (code, stdout, stderr) = output(&mut gimbal(&[command, "--help"]));
        assert_eq!((code, stderr.as_str()), (Some(0), ""));
        assert!(stdout.contains("Example"), "{command} shows how it is used");
        let flags: Vec<&str> = stdout
            .lines()
            .filter(|line| line.trim_start().starts_with('-'))
            .collect();
        let defaults = stdout.matches("Default: ").count();
        // --help has none.
        assert_eq!(defaults + 1, flags.len(), "{command}: {flags:#?}");
    }
}

#[test]
fn version_is_the_packages() {
    let (code, stdout, _) = output(&mut gimbal(&["--version"]));
    assert_eq!(
        (code, stdout),
        (Some(0), format!("gimbal {}\n", env!("CARGO_PKG_VERSION")))
    );
}

#[test]
fn the_schema_and_the_example_have_the_same_keys() {
    let (code, stdout, _) = output(&mut gimbal(&["schema", "config"]));
    assert_eq!(code, Some(0));
    let schema: serde_json::Value = serde_json::from_str(&stdout).expect("the schema is JSON");
    // Commented out, for they name files that the example must do without.
    let mut example = std::fs::read_to_string(EXAMPLE).unwrap();
    for key in ["credentials", "filters", "required"] {
        example = example.replace(&format!("# {key} ="), &format!("{key} ="));
    }
    let example = with_sections(&example);
    same_keys(&schema, &toml::Value::Table(example.parse().unwrap()), "");
}

/// `example` with those sections that are commented out.
fn with_sections(example: &str) -> String {
    let mut is_section = false;
    let mut text = String::new();
    for line in example.lines() {
        let bare = line.strip_prefix("# ");
        is_section = bare.is_some_and(|bare| is_section || bare.starts_with('['));
        text.push_str(bare.filter(|_| is_section).unwrap_or(line));
        text.push('\n');
    }
    text
}

/// Every section of `written` has exactly the keys that `schema` describes, and each has a description.
fn same_keys(schema: &serde_json::Value, written: &toml::Value, path: &str) {
    match written {
        toml::Value::Table(table) if schema["properties"].is_object() => {
            let mut known: Vec<_> = schema["properties"].as_object().unwrap().keys().collect();
            let mut used: Vec<_> = table.keys().collect();
            known.sort_unstable();
            used.sort_unstable();
            assert_eq!(known, used, "keys at {path:?}");
            for (key, inner) in table {
                let schema = &schema["properties"][key];
                assert!(
                    schema["description"].is_string(),
                    "{path}.{key} has a description"
                );
                same_keys(schema, inner, &format!("{path}.{key}"));
            }
        }
        toml::Value::Array(list) if schema["items"]["properties"].is_object() => {
            for inner in list {
                same_keys(&schema["items"], inner, path);
            }
        }
        _ => {}
    }
}

/// A running `gimbal run` whose log lines can be waited for.
struct Running {
    child: Child,
    lines: Receiver<String>,
}

impl Running {
    fn start(args: &[&str]) -> Self {
        let base = ["run", "--listen", "127.0.0.1:0", "--state-dir", ""];
        let mut child = gimbal(&base)
            .args(args)
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (sender, lines) = sync_channel(1000);
        std::thread::spawn(move || {
            stderr
                .lines()
                .map_while(Result::ok)
                .try_for_each(|l| sender.send(l))
        });
        Self { child, lines }
    }

    /// Waits for a log line with `text` in it; the lines before it must not be warnings.
    fn wait_for(&self, text: &str) -> String {
        loop {
            let line = self.lines.recv_timeout(DEADLINE).expect(text);
            if line.contains(text) {
                return line;
            }
            // Nobody listens where these configurations say that name servers are.
            let is_expected = line.contains("cannot be reached; circuit open");
            assert!(
                is_expected || (!line.contains("WARN") && !line.contains("ERROR")),
                "unexpected: {line}"
            );
        }
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .args([name, &self.child.id().to_string()])
            .status()
            .unwrap();
        assert!(sent.success());
    }

    fn exit_code(mut self) -> Option<i32> {
        // Its standard error closes when it ends.
        while self.lines.recv_timeout(DEADLINE).is_ok() {}
        self.child.wait().unwrap().code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has ended already unless the test failed.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn save(file: &Path, text: &str) {
    std::fs::write(file, format!("nameservers = '127.0.0.1:1'\n{text}")).unwrap();
}

#[test]
fn the_first_signal_drains_and_exits_with_0() {
    for signal in ["-TERM", "-INT"] {
        let running = Running::start(&["--nameserver", "127.0.0.1:1"]);
        let line = running.wait_for("listening");
        assert!(line.contains("main=127.0.0.1:"), "{line}");
        running.signal(signal);
        assert_eq!(running.exit_code(), Some(0), "{signal}");
    }
}

#[test]
fn the_second_signal_ends_it_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("g.toml");
    save(&file, "[drain]\ndelay = '10m'\n");
    let running = Running::start(&["-c", file.to_str().unwrap()]);
    running.wait_for("listening");
    running.signal("-TERM");
    running.wait_for("draining");
    running.signal("-TERM");
    assert_eq!(running.exit_code(), Some(143));
}

#[test]
fn saving_the_file_applies_it_and_a_bad_one_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("g.toml");
    save(&file, "");
    let running = Running::start(&["-c", file.to_str().unwrap()]);
    running.wait_for("listening");

    save(&file, "allow = 'admin'\n");
    let line = running.wait_for("reloaded");
    assert!(
        line.contains("changed=\"allow\"") && !line.contains("needs_restart"),
        "{line}"
    );

    save(&file, "allow = 'admni'\nworkers = 0\n");
    assert!(
        running.wait_for("not reloaded").contains("allow[0]"),
        "the first problem is told"
    );
    assert!(
        running.wait_for("not reloaded").contains("workers"),
        "and so is the second"
    );

    save(&file, "allow = 'admin'\n[log]\nformat = 'json'\n");
    let line = running.wait_for("reloaded");
    assert!(line.contains("needs_restart=\"log.format\""), "{line}");

    running.signal("-HUP");
    let line = running.wait_for("reloaded");
    assert!(
        line.contains("changed=\"\""),
        "nothing differs, and it says so: {line}"
    );
    running.signal("-TERM");
    assert_eq!(running.exit_code(), Some(0));
}

#[test]
fn saving_the_credentials_applies_them_and_bad_ones_change_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (file, keys) = (folder.path().join("g.toml"), folder.path().join("keys.toml"));
    save(&file, "");
    let running = Running::start(&["-c", file.to_str().unwrap()]);
    running.wait_for("listening");

    let one = "[[key]]\naccess_key = 'a'\nsecret_key = 'tops3cret'\n";
    save(&file, &format!("credentials = '{}'\n", keys.display()));
    let line = running.wait_for("not reloaded");
    assert!(line.contains("cannot be read"), "{line}");
    // Written elsewhere first: others must not be able to read it for a moment.
    let written = folder.path().join("written");
    std::fs::write(&written, one).unwrap();
    std::fs::set_permissions(&written, PermissionsExt::from_mode(0o600)).unwrap();
    std::fs::rename(&written, &keys).unwrap();
    let line = running.wait_for("reloaded");
    assert!(line.contains("changed=\"credentials\""), "{line}");

    std::fs::write(&keys, one.replace("'a'", "''")).unwrap();
    let line = running.wait_for("not reloaded");
    assert!(
        line.contains("credentials.") && !line.contains("tops3cret"),
        "{line}"
    );

    std::fs::write(&keys, one.replace("tops", "tips")).unwrap();
    let line = running.wait_for("reloaded");
    assert!(line.contains("changed=\"credentials\""), "{line}");
    running.signal("-TERM");
    assert_eq!(running.exit_code(), Some(0));
}

#[test]
fn logs_can_be_json() {
    let running = Running::start(&["--nameserver", "127.0.0.1:1", "--log-format", "json"]);
    let line: serde_json::Value = serde_json::from_str(&running.wait_for("listening")).expect("a JSON line");
    assert_eq!(
        (line["level"].as_str(), line["message"].as_str()),
        (Some("INFO"), Some("listening"))
    );
    running.signal("-TERM");
    assert_eq!(running.exit_code(), Some(0));
}
