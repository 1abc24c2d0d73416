//! One test per rule of the written form: what is refused, where, and what is told instead.

use super::*;
use crate::config::Limits;
use crate::filter::Budget;

fn read(text: &str) -> (File, Problems) {
    (toml::from_str(text).unwrap(), Problems::default())
}

/// Checks `text` with a name server added; gives `path: what` of errors and warnings.
fn found(text: &str) -> (Vec<String>, Vec<String>) {
    let (file, mut problems) = read(&format!("nameservers = 'ns:9876'\n{text}"));
    check(&file, &mut problems);
    let show = |list: &[super::super::problem::Problem]| -> Vec<String> {
        list.iter().map(|p| format!("{}: {}", p.path, p.what)).collect()
    };
    (show(&problems.errors), show(&problems.warnings))
}

fn errors(text: &str) -> Vec<String> {
    found(text).0
}

#[track_caller]
fn good(text: &str) {
    assert_eq!(errors(text), [""; 0], "{text}");
}

#[test]
fn a_folder_of_filters_need_not_be_there_yet_and_must_be_a_folder() {
    let place = tempfile::tempdir().unwrap();
    let of = |folder: &str| found(&format!("filters = '{folder}'"));
    let folder = place.path().display().to_string();
    assert_eq!(of(&folder), (vec![], vec![]));
    assert_eq!(of(""), (vec![], vec![]), "none is wanted");
    let (errors, warnings) = of(&format!("{folder}/later"));
    assert_eq!(
        (errors.len(), warnings.len()),
        (0, 1),
        "it is watched until it is there"
    );
    std::fs::write(place.path().join("file"), "").unwrap();
    assert_eq!(of(&format!("{folder}/file")).0.len(), 1);
}

#[test]
fn required_filters_go_by_name_and_have_a_folder() {
    let required = |names: &str| errors(&format!("filters = '.'\nfilter.required = {names}"));
    assert_eq!(required("['acl', 'rate-limit']"), [""; 0]);
    assert_eq!(
        required("['20-acl.wasm', '']"),
        [
            "filter.required[0]: is \"20-acl.wasm\", which is the name of a file",
            "filter.required[1]: is \"\", which is no name"
        ]
    );
    let without = errors("filters = ''\nfilter.required = 'acl'");
    assert_eq!(
        without,
        ["filter.required: names filters, and there is no folder they could be in"]
    );
}

#[test]
fn what_filters_may_use_has_bounds_and_defaults() {
    let (file, mut problems) = read("nameservers = 'a:1'\nstate_dir = '/s'\n[filter.budget]\ntime = '5ms'");
    let filters = check(&file, &mut problems).unwrap().filters;
    assert_eq!(filters.budget.time, Duration::from_millis(5));
    assert_eq!(filters.budget.memory, Budget::default().memory);
    assert_eq!(filters.body_limit, 16 << 20);
    assert_eq!(filters.copies, Some("/s/filters".into()));
    assert_eq!(filters.compiled, Some("/s/compiled".into()));
    assert_eq!(
        errors("[filter]\nbody_limit = 1\nbudget.time = '2s'"),
        ["filter.body_limit: is 1 B", "filter.budget.time: is 2s"]
    );
}

#[test]
fn the_defaults_are_a_working_proxy_but_for_the_name_server() {
    let (file, mut problems) = read("");
    check(&file, &mut problems);
    assert_eq!(problems.errors.len(), 1, "{problems}");
    assert_eq!(problems.errors[0].path, "nameservers");

    let (file, mut problems) = read("nameservers = 'a:1;b:2'");
    let config = check(&file, &mut problems).unwrap();
    assert_eq!((problems.errors, problems.warnings), (vec![], vec![]));
    assert_eq!(config.nameservers, ["a:1", "b:2"]);
    assert_eq!(config.listeners[0].bind, "0.0.0.0:9876".parse().unwrap());
    // The memory is that of this machine.
    let memory = config.limits.memory;
    let limits = Limits {
        memory,
        ..Limits::default()
    };
    assert_eq!(config.limits, limits);
    assert_eq!(config.timeouts, Timeouts::default());
    assert_eq!(config.drain, Drain::default());
    assert_eq!(config.state_dir, Some("gimbal-state".into()));
}

#[test]
fn addresses_are_host_and_port() {
    for good in [
        "10.0.0.1:9876",
        "ns.example.org:1",
        "my_ns:9876",
        "[::1]:9876",
        "host.:80",
    ] {
        assert!(host_port(good).is_ok(), "{good} is an address");
    }
    for (bad, why) in [
        ("10.0.0.1", "no port"),
        ("http://10.0.0.1:9876", "URL"),
        ("::1:9876", "without brackets"),
        ("a:99999", "not a port"),
        ("a:", "not a port"),
        (":9876", "not a host"),
        ("10.0.0:9876", "not a host"),
        ("a b:1", "not a host"),
        ("[nonsense]:1", "not a host"),
    ] {
        let what = host_port(bad).unwrap_err();
        assert!(what.contains(why), "{bad}: {what}");
    }
}

#[test]
fn name_servers_are_checked_one_by_one() {
    let (file, mut problems) = read("nameservers = ['a:1', 'b', 'c:0', 'a:1']");
    check(&file, &mut problems);
    let paths: Vec<_> = problems.errors.iter().map(|p| p.path.as_str()).collect();
    assert_eq!(paths, ["nameservers[1]", "nameservers[2]"]);
    assert_eq!(problems.warnings[0].path, "nameservers[3]");
}

#[test]
fn a_bind_address_is_an_ip_and_a_port() {
    good("[[listener]]\nbind = '[::]:9876'");
    good("[[listener]]\nbind = 'localhost:0'");
    for (bind, what) in [
        ("0.0.0.0", "is \"0.0.0.0\", which has no port"),
        ("mq:9876", "is \"mq:9876\", where \"mq\" is not an IP address"),
        ("0.0.0.0:2", "has port 2, and the port two below is needed too"),
    ] {
        assert_eq!(
            errors(&format!("[[listener]]\nbind = '{bind}'")),
            [format!("listener[0].bind: {what}")]
        );
    }
}

#[test]
fn an_advertised_host_has_no_port_and_can_be_dialled() {
    for host in ["mq.example.org", "10.0.0.1", "::1", "[::1]", "localhost"] {
        good(&format!("[[listener]]\nadvertise = '{host}'"));
    }
    for (host, what) in [
        ("mq:9876", "which has a port"),
        ("[::1]:9876", "which has a port"),
        ("0.0.0.0", "an address nobody can connect to"),
        ("a b", "which is not a host"),
    ] {
        let errors = errors(&format!("[[listener]]\nadvertise = '{host}'"));
        assert_eq!(errors, [format!("listener[0].advertise: is {host:?}, {what}")]);
    }
}

#[test]
fn listener_names_are_plain_and_unique() {
    let text = "[[listener]]\nname = 'a'\n[[listener]]\nname = 'a'\nbind = '0.0.0.0:1000'\n\
                [[listener]]\nname = 'b c'\nbind = '0.0.0.0:2000'";
    assert_eq!(
        errors(text),
        [
            "listener[1].name: is \"a\", like that of listener[0]",
            "listener[2].name: is \"b c\""
        ]
    );
}

#[test]
fn a_port_range_has_an_order_and_a_size() {
    good("[[listener]]\nbroker_ports = '12000-12003'");
    for (range, what) in [
        ("12000", "which is not a range of ports"),
        ("a-b", "which is not a range of ports"),
        ("12000-70000", "which is not a range of ports"),
        ("12063-12000", "where the last port is below the first"),
        ("12000-12002", "too few to serve brokers"),
    ] {
        let errors = errors(&format!("[[listener]]\nbroker_ports = '{range}'"));
        assert_eq!(
            errors,
            [format!("listener[0].broker_ports: is {range:?}, {what}")]
        );
    }
}

#[test]
fn a_range_does_not_hold_its_own_listeners_ports() {
    for range in ["9870-9874", "9876-9880", "9800-9900"] {
        let errors = errors(&format!("[[listener]]\nbroker_ports = '{range}'"));
        assert_eq!(errors.len(), 1, "{range}: {errors:?}");
    }
    good("[[listener]]\nbroker_ports = '9877-9900'");
}

#[test]
fn ranges_of_listeners_on_overlapping_addresses_stay_apart() {
    let two = |ip: &str| {
        format!(
            "[[listener]]\nname = 'a'\nbind = '0.0.0.0:9876'\nbroker_ports = '12000-12063'\n\
             [[listener]]\nname = 'b'\nbind = '{ip}:9976'\nbroker_ports = '12060-12100'"
        )
    };
    assert_eq!(
        errors(&two("10.0.0.1")),
        ["listener[1].broker_ports: takes ports 12060-12100, but listener[0].broker_ports takes 12000-12063"]
    );
    good(&two("[::1]"));
}

#[test]
fn binds_collide_also_two_below() {
    let two =
        |port: u16| format!("[[listener]]\nname = 'a'\n[[listener]]\nname = 'b'\nbind = '127.0.0.1:{port}'");
    assert_eq!(
        errors(&two(9876)),
        ["listener[1].bind: takes port 9876, as does listener[0].bind"]
    );
    assert_eq!(
        errors(&two(9878)),
        ["listener[1].bind: takes port 9876 too (two below 9878), but listener[0].bind takes port 9876"]
    );
    assert_eq!(errors(&two(9874)).len(), 1);
    good(&two(9877));
}

#[test]
fn fixed_broker_ports_are_unique_and_leave_the_gap() {
    let fixed = |brokers: &str| errors(&format!("[[listener]]\nbrokers = {{ {brokers} }}"));
    assert_eq!(fixed("a = 12002, b = 12003"), [""; 0]);
    let same = ["listener[0].brokers.b: takes port 12002, as does listener[0].brokers.a"];
    assert_eq!(fixed("a = 12002, b = 12002"), same);
    assert_eq!(
        fixed("a = 12002, b = 12004").len(),
        1,
        "b's lower port is a's port"
    );
    assert_eq!(fixed("a = 9878").len(), 1, "a's lower port is the listener's");
    assert_eq!(fixed("a = 9874").len(), 1, "a's port is the listener's lower one");
    assert_eq!(
        fixed("a = 2"),
        ["listener[0].brokers.a: is port 2, and the port two below is needed too"]
    );
    assert_eq!(
        fixed("'a b' = 12002"),
        ["listener[0].brokers.a b: is not a broker name"]
    );
    good("[[listener]]\nbroker_ports = '12000-12063'\nbrokers = { a = 12002 }");
}

#[test]
fn store_hosts_are_rewritten_to_ip_addresses_only() {
    good("[[listener]]\nadvertise = '10.0.0.1'\nrewrite_store_host = true");
    for advertise in ["", "advertise = 'mq'\n"] {
        let errors = errors(&format!("[[listener]]\n{advertise}rewrite_store_host = true"));
        assert_eq!(errors.len(), 1);
        assert!(
            errors[0].starts_with("listener[0].rewrite_store_host: needs an IP address"),
            "{errors:?}"
        );
    }
}

#[test]
fn a_fleet_without_fixed_ports_is_worth_a_word_but_no_log_line() {
    let advice = |listener: &str| {
        let (file, mut problems) = read(&format!("nameservers = 'ns:1'\n[[listener]]\n{listener}"));
        check(&file, &mut problems);
        assert_eq!((problems.errors, problems.warnings), (vec![], vec![]));
        problems.advice.iter().map(|p| p.path.clone()).collect::<Vec<_>>()
    };
    assert_eq!(advice("advertise = 'mq'"), ["listener[0].brokers"]);
    assert_eq!(advice("advertise = 'mq'\nbrokers = { a = 12002 }"), [""; 0]);
    assert_eq!(advice(""), [""; 0]);
}

#[test]
fn allowed_codes_go_by_group_name_and_number() {
    let (file, mut problems) = read(
        "nameservers = 'a:1'\nallow = ['admin', 'GET_CONSUMER_RUNNING_INFO', '307', 999, 'request-reply']",
    );
    let allow = check(&file, &mut problems).unwrap().allow;
    assert_eq!(
        allow,
        Allow {
            admin: true,
            request_reply: true,
            codes: vec![Code(307), Code(999)]
        }
    );

    let (file, mut problems) = read("nameservers = 'a:1'\nallow = 'admni,GET_CONSUMER_RUNNING,-1'");
    check(&file, &mut problems);
    let told: Vec<_> = problems
        .errors
        .iter()
        .map(|p| (p.path.as_str(), p.accepted.as_str()))
        .collect();
    assert_eq!(told.len(), 3);
    assert!(
        told[0].0 == "allow[0]" && told[0].1.starts_with("admin (closest)"),
        "{told:?}"
    );
    assert!(
        told[1].1.starts_with("GET_CONSUMER_RUNNING_INFO (closest)"),
        "{told:?}"
    );
}

#[test]
fn limits_stay_within_what_works() {
    assert_eq!(errors("[limits]\nframe = 1000"), ["limits.frame: is 1000 B"]);
    assert_eq!(errors("[limits]\nframe = '2 GiB'"), ["limits.frame: is 2 GiB"]);
    assert_eq!(errors("[limits]\nqueue = 1"), ["limits.queue: is 1 B"]);
    assert_eq!(
        errors("[limits]\nconnections = 0"),
        ["limits.connections: is 0, so nobody could connect"]
    );
    assert_eq!(
        errors("[limits]\nopenings = 0"),
        ["limits.openings: is 0, so nobody could connect"]
    );
    assert_eq!(
        errors("[limits]\nmemory = '63 MiB'"),
        ["limits.memory: is 63 MiB, where a frame of 16 MiB must fit into a quarter"]
    );
    assert_eq!(
        errors("[limits]\nqueue = '20 MiB'\nsession_memory = '32 MiB'"),
        [
            "limits.session_memory: is 32 MiB, where limits.frame and limits.queue must each fit into half of it"
        ]
    );
    let (errors, warnings) = found("[limits]\nframe = '32 MiB'");
    assert_eq!(
        (errors.len(), warnings.len()),
        (0, 1),
        "clients would have to be told"
    );
}

#[test]
fn timeouts_are_longer_than_nothing_and_shorter_than_clients_wait() {
    for key in ["connect", "idle", "opening", "frame", "stalled"] {
        assert_eq!(
            errors(&format!("[timeouts]\n{key} = '0s'")),
            [format!("timeouts.{key}: is zero")]
        );
    }
    let (errors, warnings) = found(
        "[timeouts]\nidle = '20s'\n[timeouts.commands]\nLOCK_BATCH = '1s'\nSEND_MESSAGE = '0s'\n\
         11 = '29s'\nPULL_MESSAGE = '1s'\nLOCK_BATCH_MQ = '800ms'",
    );
    assert_eq!(
        errors,
        [
            "timeouts.commands.LOCK_BATCH: \"LOCK_BATCH\" names no request code",
            "timeouts.commands.PULL_MESSAGE: sets code 11 a second time",
            "timeouts.commands.SEND_MESSAGE: is zero",
        ]
    );
    assert_eq!(
        warnings.len(),
        2,
        "a short idle time and a wait past 28 s: {warnings:?}"
    );
}

#[test]
fn log_filters_are_levels() {
    good("log.level = 'warn,gimbal::route=debug'");
    assert_eq!(
        errors("log.level = 'inof'"),
        ["log.level: has \"inof\", which names no level"]
    );
    assert_eq!(errors("log.level = 'gimbal=loud'").len(), 1);
}

#[test]
fn workers_and_state_folder() {
    assert_eq!(errors("workers = 0"), ["workers: is 0"]);
    assert_eq!(errors("workers = 5000"), ["workers: is 5000"]);
    let (file, mut problems) = read("nameservers = 'a:1'\nstate_dir = ''\nworkers = 3");
    let config = check(&file, &mut problems).unwrap();
    assert_eq!((config.state_dir, config.workers), (None, 3));
}
