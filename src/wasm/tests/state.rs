//! What outlives instances: the store, buckets, rests after failures, and compiled code.

use super::*;

const STEERED: &str = include_str!("../../../tests/fixtures/guests/steered.wat");
const VERDICTS: &str = include_str!("../../../tests/fixtures/guests/verdicts.wat");

fn steered(what: &str) -> Source {
    Source {
        config: json!({ "do": what }),
        ..source(wasm(STEERED))
    }
}

fn code(verdict: Result<Verdict, Failure>) -> (i32, String) {
    match verdict {
        Ok(Verdict::Answer(answer)) => (answer.code.0, answer.remark.unwrap_or_default()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_store_beyond_its_quota_refuses() {
    let mut source = steered("s");
    source.budget.store = 50_000;
    let filter = host().load(source).unwrap().filter;
    let (_, said) = code(ask(&filter, 10).1);
    assert_eq!(
        said,
        "the store would have 100067 bytes (64 for each entry); its quota is 50000"
    );
}

#[test]
fn a_bucket_is_shared_by_versions_of_a_filter() {
    let source = steered("a");
    let first = host().load(source.clone()).unwrap().filter;
    assert_eq!(ask(&first, 10).1, Ok(Verdict::Forward));
    let second = host().load(source).unwrap().filter;
    assert_eq!(ask(&second, 10).1, Ok(Verdict::Forward));
    assert_eq!(code(ask(&second, 10).1).0, 215);
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the rest is waited for")]
fn a_filter_that_does_nothing_but_fail_rests_and_comes_back() {
    let filter = host().load(steered("f")).unwrap().filter;
    for _ in 0..10 {
        assert!(matches!(ask(&filter, 1).1, Err(Failure::Trap(_))));
    }
    let failure = ask(&filter, 2000).1.unwrap_err();
    assert!(matches!(failure, Failure::Resting(_)), "{failure}");
    assert!(
        failure
            .to_string()
            .starts_with("it failed too often and rests for ")
    );
    std::thread::sleep(Duration::from_millis(1_050));
    assert_eq!(ask(&filter, 2000).1, Ok(Verdict::Forward));
    assert!(
        matches!(ask(&filter, 1).1, Err(Failure::Trap(_))),
        "it is called again"
    );
}

#[test]
fn every_instance_must_want_the_same() {
    let filter = host().load(steered("i")).unwrap().filter;
    assert!(matches!(ask(&filter, 1).1, Err(Failure::Trap(_))));
    let failure = ask(&filter, 1).1.unwrap_err().to_string();
    assert_eq!(
        failure,
        "no instance could be made: init returned other interests than it did for the first instance; every instance \
         must return the same"
    );
}

#[test]
fn what_is_not_granted_refuses_when_it_is_called() {
    // A manifest that wants less than is imported.
    let manifest = json!({ "name": "s", "version": "1", "imports": ["limit"] });
    let mut source = steered("s");
    source.bytes = with_manifest(wasm(STEERED), &manifest).into();
    let failure = ask(&host().load(source).unwrap().filter, 1).1.unwrap_err();
    assert_eq!(failure, Failure::NotGranted("store.set".to_owned()));
    assert_eq!(
        failure.to_string(),
        "it called store.set, which its grants do not include"
    );
}

#[test]
fn compiled_code_is_kept_and_a_damaged_file_is_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("code");
    let load = || {
        let host = Host::new(Some(cache.clone())).unwrap();
        host.load(source(wasm(VERDICTS))).unwrap()
    };
    let files = || -> Vec<std::path::PathBuf> {
        let listed = std::fs::read_dir(&cache).unwrap();
        listed.map(|entry| entry.unwrap().path()).collect()
    };
    assert!(!load().about.was_cached);
    let again = load();
    assert!(again.about.was_cached);
    assert_eq!(ask(&again.filter, 2000).1, Ok(Verdict::Forward));
    let [file] = files().try_into().unwrap();
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&file, &bytes).unwrap();
    assert!(!load().about.was_cached, "a flipped bit");
    std::fs::write(&file, b"something else").unwrap();
    assert!(!load().about.was_cached, "a foreign file");
    assert!(load().about.was_cached, "made anew");
    assert_eq!(files(), [file], "nothing unfinished is left");
}

#[cfg(unix)]
#[test]
fn a_folder_that_others_may_write_to_is_not_used() {
    use std::os::unix::fs::PermissionsExt;

    let folder = tempfile::tempdir().unwrap();
    let host = Host::new(Some(folder.path().to_owned())).unwrap();
    let is_cached = || host.load(source(wasm(VERDICTS))).unwrap().about.was_cached;
    assert!(!is_cached() && is_cached());
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    assert!(!is_cached());
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
    assert!(is_cached());
}
