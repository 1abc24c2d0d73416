//! What happens to files while the proxy runs, and what is in force then.

use std::fs;
use std::os::unix::fs::symlink;
use std::sync::Arc;
use std::time::Duration;

use gimbal::filter::folder::{Event, InForce, Serving, Settings};
use gimbal::filter::{Budget, Mode, Policy};

use super::stage::{SOON, Stage};

#[tokio::test]
async fn files_come_change_move_and_go() {
    let stage = Stage::new();
    stage.write("20-b.wasm", "1");
    let running = stage.start().await;
    running.until_versions(&["b=1"]).await;
    assert_eq!(
        running.generation(),
        1,
        "what is there at the start is the first generation"
    );

    stage.write("10-a.wasm", "1");
    running.until_versions(&["a=1", "b=1"]).await;
    stage.put("20-b.wasm", "2");
    running.until_versions(&["a=1", "b=2"]).await;

    let (loads, counters) = (
        stage.loads(),
        Arc::clone(&running.in_force.chain().members()[0].counters),
    );
    fs::rename(stage.path("10-a.wasm"), stage.path("30-a.wasm")).unwrap();
    running.until_versions(&["b=2", "a=1"]).await;
    assert_eq!(stage.loads(), loads, "another place needs no new instance");
    let chain = running.in_force.chain();
    assert!(
        Arc::ptr_eq(&counters, &chain.members()[1].counters),
        "counters stay"
    );

    stage.remove("20-b.wasm");
    running.until_versions(&["a=1"]).await;
    assert_eq!(running.in_force.status().len(), 1, "nothing is left of it");
}

#[tokio::test]
async fn a_broken_file_keeps_the_old_version_and_says_why() {
    let stage = Stage::new();
    stage.write("20-a.wasm", "1");
    let running = stage.start().await;
    for broken in ["bad", "panic"] {
        stage.write("20-a.wasm", broken);
        running
            .until_trouble(
                "a",
                if broken == "bad" {
                    "is \"bad\"; accepted: something good"
                } else {
                    "panicked"
                },
            )
            .await;
        let status = running.status("a");
        assert_eq!(
            (status.serving, status.version.as_deref()),
            (Serving::Kept, Some("1"))
        );
        assert_eq!(running.generation(), 1);
    }
    assert!(running.in_force.is_ready(), "the old version serves");
    let loads = stage.loads();
    running.rest().await;
    assert_eq!(stage.loads(), loads, "a broken file is not tried again and again");

    stage.write("20-a.wasm", "2");
    running.until_versions(&["a=2"]).await;
    let status = running.status("a");
    assert_eq!((status.serving, status.trouble), (Serving::Current, None));
    let events: Vec<Event> = status.history.iter().map(|outcome| outcome.event).collect();
    assert_eq!(
        events,
        [Event::Loaded, Event::Failed, Event::Failed, Event::Loaded]
    );
}

#[tokio::test]
async fn the_old_bytes_again_end_the_trouble_without_a_load() {
    let stage = Stage::new();
    stage.write("20-a.wasm", "1");
    let running = stage.start().await;
    stage.write("20-a.wasm", "bad");
    running.until_trouble("a", "bad").await;
    let loads = stage.loads();
    stage.write("20-a.wasm", "1");
    running
        .until("no trouble", |now| now.status()[0].trouble.is_none())
        .await;
    assert_eq!((stage.loads(), running.generation()), (loads, 1));
}

#[tokio::test]
async fn the_same_bytes_are_nothing() {
    let stage = Stage::new();
    stage.write("20-a.wasm", "1");
    stage.write("20-a.toml", "[config]\nx = 1");
    let running = stage.start().await;
    stage.put("20-a.wasm", "1");
    stage.put("20-a.toml", "# a word more\n[config]\nx = 1");
    running.rest().await;
    assert_eq!((stage.loads(), running.generation()), (1, 1));
}

#[tokio::test]
async fn settings_around_a_filter_need_no_new_instance_and_its_own_do() {
    let stage = Stage::new();
    stage.write("20-a.wasm", "1");
    let running = stage.start().await;
    let member = |of: &InForce| (of.chain().members()[0].mode, of.chain().members()[0].policy);
    stage.put("20-a.toml", "mode = 'shadow'\non_error = 'open'");
    running
        .until("shadow", |now| member(now) == (Mode::Shadow, Policy::Open))
        .await;
    assert_eq!((stage.loads(), running.generation()), (1, 2));

    stage.put("20-a.toml", "[config]\nx = 1");
    running
        .until("config", |now| member(now) == (Mode::Enforce, Policy::Closed))
        .await;
    assert_eq!(stage.loads(), 2);

    stage.put("20-a.toml", "mode = 'on'");
    let status = running
        .until_trouble("a", "accepted: one of enforce, shadow, off")
        .await;
    assert_eq!(status.serving, Serving::Kept);

    stage.put("20-a.toml", "mode = 'off'");
    running.until_versions(&[]).await;
    assert_eq!(running.status("a").mode, "off");
    stage.remove("20-a.toml");
    running.until_versions(&["a=1"]).await;
}

#[tokio::test]
async fn a_file_that_is_still_being_written_is_waited_for() {
    let stage = Stage::new();
    let running = stage.start().await;
    let module = b"\0asm\x01\0\0\0\x00\x05\x04name\x01\x01\x00";
    stage.write("20-a.wasm", &module[..12]);
    running.rest().await;
    assert_eq!(
        running
            .in_force
            .status()
            .iter()
            .filter(|s| s.trouble.is_some())
            .count(),
        0
    );
    assert_eq!(stage.loads(), 0, "nobody was shown half a file");
    stage.write("20-a.wasm", module);
    running
        .until("whole", |now| now.chain().members().len() == 1)
        .await;
}

#[tokio::test]
async fn a_file_that_stays_cut_off_is_reported() {
    let mut stage = Stage::new();
    stage.timing.cut_off = Duration::from_millis(300);
    let running = stage.start().await;
    stage.write("20-a.wasm", b"\0asm\x01\0\0\0\x00\x05\x04na");
    let status = running.until_trouble("a", "20-a.wasm is cut off").await;
    assert_eq!(status.serving, Serving::Nothing);
    assert!(
        running.in_force.is_ready(),
        "what was never in force takes nothing away"
    );
}

#[tokio::test]
async fn a_folder_that_is_empty_for_an_instant_loses_nothing() {
    let stage = Stage::new();
    stage.write("20-a.wasm", "1");
    let running = stage.start().await;
    stage.remove("20-a.wasm");
    running.rest().await;
    stage.write("20-a.wasm", "1");
    running.rest().await;
    assert_eq!((running.generation(), stage.loads()), (1, 1));

    let aside = stage.path("..aside");
    let folder = stage.files.path();
    fs::create_dir(&aside).unwrap();
    fs::rename(stage.path("20-a.wasm"), aside.join("20-a.wasm")).unwrap();
    fs::rename(aside.join("20-a.wasm"), folder.join("20-a.wasm")).unwrap();
    running.rest().await;
    assert_eq!((running.generation(), stage.loads()), (1, 1));
}

#[tokio::test]
async fn a_required_filter_stays_until_it_is_no_longer_required() {
    let mut stage = Stage::new();
    stage.required = vec!["a".to_owned()];
    stage.timing.removal = Duration::from_millis(10);
    stage.write("20-a.wasm", "1");
    let running = stage.start().await;
    stage.remove("20-a.wasm");
    running
        .until("kept", |now| now.status()[0].serving == Serving::Kept)
        .await;
    running.rest().await;
    running.until_versions(&["a=1"]).await;
    running.in_force.set(Settings::default());
    running.until_versions(&[]).await;
}

#[tokio::test]
async fn state_outlives_versions_and_a_short_absence() {
    let mut stage = Stage::new();
    stage.timing.removal = Duration::from_millis(10);
    stage.write("20-a.wasm", "1");
    let running = stage.start().await;
    stage.write("20-a.wasm", "2");
    running.until_versions(&["a=2"]).await;
    stage.remove("20-a.wasm");
    running.until_versions(&[]).await;
    stage.write("20-a.wasm", "3");
    running.until_versions(&["a=3"]).await;
    let states = stage.loader.states.lock().unwrap();
    assert!(states.iter().all(|state| Arc::ptr_eq(state, &states[0])));
}

#[tokio::test]
async fn a_swapped_link_swaps_every_filter_at_once() {
    let stage = Stage::new();
    for (version, text) in [("..1", "1"), ("..2", "2")] {
        fs::create_dir(stage.path(version)).unwrap();
        stage.write(&format!("{version}/10-a.wasm"), text);
        stage.write(&format!("{version}/20-b.wasm"), text);
    }
    symlink("..1", stage.path("..data")).unwrap();
    symlink("..data/10-a.wasm", stage.path("10-a.wasm")).unwrap();
    symlink("..data/20-b.wasm", stage.path("20-b.wasm")).unwrap();
    let running = stage.start().await;
    running.until_versions(&["a=1", "b=1"]).await;
    symlink("..2", stage.path("..data_tmp")).unwrap();
    fs::rename(stage.path("..data_tmp"), stage.path("..data")).unwrap();
    running.until_versions(&["a=2", "b=2"]).await;
    assert_eq!(running.generation(), 2, "one look, one chain");
    running.rest().await;
    let mut looks = running.in_force.looks();
    looks.mark_unchanged();
    // On a busy machine what happened may be looked at once more.
    let half_a_second = Duration::from_millis(500);
    let quiet = async { while tokio::time::timeout(half_a_second, looks.changed()).await.is_ok() {} };
    let came = tokio::time::timeout(SOON, quiet).await;
    assert!(came.is_ok(), "nobody looks while nothing happens");
}

#[tokio::test]
async fn a_folder_that_comes_later_or_is_replaced_is_seen() {
    let stage = Stage::new();
    let folder = stage.path("filters.d");
    let running = stage.start_in(&folder).await;
    running.until_versions(&[]).await;
    fs::create_dir(&folder).unwrap();
    stage.write("filters.d/20-a.wasm", "1");
    running.until_versions(&["a=1"]).await;

    fs::rename(&folder, stage.path("old")).unwrap();
    running.rest().await;
    running.until_versions(&["a=1"]).await;
    fs::create_dir(stage.path("new")).unwrap();
    stage.write("new/20-a.wasm", "2");
    fs::rename(stage.path("new"), &folder).unwrap();
    running.until_versions(&["a=2"]).await;
    stage.write("filters.d/20-a.wasm", "3");
    running.until_versions(&["a=3"]).await;
}

#[tokio::test]
async fn polling_alone_finds_everything() {
    let mut stage = Stage::new();
    stage.timing.events = false;
    stage.timing.poll = Duration::from_millis(50);
    stage.write("20-a.wasm", "1");
    let running = stage.start().await;
    stage.write("20-a.wasm", "2");
    running.until_versions(&["a=2"]).await;
    stage.write("20-a.toml", "mode = 'off'");
    running.until_versions(&[]).await;
    stage.remove("20-a.toml");
    running.until_versions(&["a=2"]).await;
    stage.remove("20-a.wasm");
    running.until("gone", |now| now.status().is_empty()).await;
}

#[tokio::test]
async fn another_default_budget_loads_those_filters_again_that_have_no_own() {
    let stage = Stage::new();
    stage.write("10-a.wasm", "1");
    stage.write("20-b.wasm", "1");
    stage.write(
        "20-b.toml",
        "[budget]\ntime = '1ms'\nmemory = '1 MiB'\nstore = '1 KiB'",
    );
    let running = stage.start().await;
    let ids = |now: &InForce| -> Vec<u64> { now.chain().members().iter().map(|member| member.id).collect() };
    let before = ids(&running.in_force);
    running.in_force.set(Settings {
        required: Vec::new(),
        budget: Budget {
            time: Duration::from_millis(20),
            ..Budget::default()
        },
    });
    running
        .until("new instances", |now| ids(now)[0] != before[0])
        .await;
    assert_eq!(ids(&running.in_force)[1], before[1]);
    assert_eq!(stage.loads(), 3);
}
