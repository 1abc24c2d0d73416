//! New files of certificates, keys and authorities.

use std::sync::Arc;
use std::time::Duration;

use gimbal::tls::{CertificateFiles, ClientAuth, State};

use super::{Scene, tls};
use crate::support::tls::{Authority, Files, Hands, Pem};
use crate::support::{Gimbal, SOON};

impl Scene {
    fn state(&self) -> Arc<State> {
        self.proxy.proxy.listeners()[0].tls_state().unwrap()
    }

    /// Waits until the certificates are in this state.
    async fn becomes(&self, wanted: impl Fn(&State) -> bool + Send + Sync) {
        let reached = async {
            while !wanted(&self.state()) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let reached = tokio::time::timeout(SOON, reached).await;
        assert!(reached.is_ok(), "{:?}", self.state());
    }

    /// The settings the proxy runs by.
    fn proxy_config(&self) -> gimbal::config::Config {
        let listener = self.proxy.proxy.listeners()[0].settings();
        let mut gimbal = Gimbal::before(&[&self.ns]);
        gimbal.config.listeners = vec![(*listener).clone()];
        gimbal.config
    }
}

#[tokio::test]
async fn new_certificates_hold_for_the_next_connection_and_broken_ones_change_nothing() {
    let scene = Scene::set(|_, _| {}).await;
    let mut before = scene.client(&scene.hands()).await;
    before.sync().await;

    scene.files.write("0.pem", "half a certificate");
    scene.becomes(|state| state.error.is_some()).await;
    let told = scene.state().error.clone().unwrap();
    let path = scene.files.path("0.pem").display().to_string();
    assert!(
        told.contains(&path) && told.contains("holds no certificate"),
        "{told}"
    );
    scene.client(&scene.hands()).await.sync().await;

    let next = Authority::new("next");
    let renewed = next.issue(&["localhost"]);
    scene.files.write("0.pem", &renewed.certificate);
    let named = |state: &State| {
        state
            .error
            .as_ref()
            .is_some_and(|error| error.contains("is not the key of"))
    };
    scene.becomes(named).await;
    scene.files.write("0.key", &renewed.key);
    scene.becomes(|state| state.error.is_none()).await;
    scene.client(&Hands::trusting(&next)).await.sync().await;
    assert!(
        scene
            .hands()
            .try_connect(scene.proxy.address, "localhost")
            .await
            .is_err()
    );
    before.sync().await;
}

#[tokio::test]
async fn a_swapped_link_is_a_new_certificate() {
    let (authority, files) = (Authority::new("ours"), Files::new());
    let put = |folder: &str, pem: &Pem| {
        std::fs::create_dir(files.path(folder)).unwrap();
        files.write(&format!("{folder}/tls.crt"), &pem.certificate);
        files.write(&format!("{folder}/tls.key"), &pem.key);
    };
    // As Kubernetes mounts a secret: files are links through a link to a folder, which is swapped.
    let link = |to: &str, name: &str| {
        let fresh = files.path("fresh");
        std::os::unix::fs::symlink(to, &fresh).unwrap();
        std::fs::rename(&fresh, files.path(name)).unwrap();
    };
    put("first", &authority.issue(&["localhost"]));
    link("first", "..data");
    link("..data/tls.crt", "tls.crt");
    link("..data/tls.key", "tls.key");
    let scene = Scene::set(|_, tls| {
        tls.settings.certificates = vec![CertificateFiles {
            certificate: files.path("tls.crt"),
            key: files.path("tls.key"),
        }];
    })
    .await;
    scene.client(&Hands::trusting(&authority)).await.sync().await;
    let next = Authority::new("next");
    put("second", &next.issue(&["localhost"]));
    link("second", "..data");
    let hands = Hands::trusting(&next);
    let reached = async {
        while hands.try_connect(scene.proxy.address, "localhost").await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(SOON, reached)
        .await
        .expect("the new certificate is shown");
}

#[tokio::test]
async fn a_new_authority_of_clients_holds_for_the_next_connection() {
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let scene = Scene::set(|files, tls| {
        tls.settings.client_auth = ClientAuth::Required;
        tls.settings.client_ca = Some(files.write("ca.pem", &old.certificate));
    })
    .await;
    let (of_old, of_new) = (old.issue(&["client"]), new.issue(&["client"]));
    assert!(scene.is_turned_away(&scene.hands().showing(&of_new)).await);
    scene.files.write("ca.pem", &new.certificate);
    scene
        .becomes(|state| state.certificates.iter().any(|one| one.subject == "CN=new"))
        .await;
    scene.client(&scene.hands().showing(&of_new)).await.sync().await;
    assert!(scene.is_turned_away(&scene.hands().showing(&of_old)).await);
}

#[tokio::test]
async fn a_reload_looks_at_the_files_and_takes_new_settings() {
    let scene = Scene::set(|_, _| {}).await;
    let next = Authority::new("next");
    let other = Files::new();
    let mut config = scene.proxy_config();
    config.listeners[0].tls = Some(tls(&other, &[&next.issue(&["localhost"])]));
    assert_eq!(
        scene.proxy.proxy.reload(config.clone()),
        [""; 0],
        "needs no restart"
    );
    scene.client(&Hands::trusting(&next)).await.sync().await;
    config.listeners[0].tls = None;
    scene.proxy.proxy.reload(config);
    assert!(
        Hands::trusting(&next)
            .try_connect(scene.proxy.address, "localhost")
            .await
            .is_err()
    );
}
