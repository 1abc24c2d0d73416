//! Values that outlive an instance.

use wasmtime::Result;

use super::super::bindings::gimbal::filter::store::Host;
use super::super::ctx::Ctx;
use crate::filter::{StoreError, Terms};

type Answer<T> = Result<std::result::Result<T, String>>;

impl Ctx {
    fn terms(&self, ttl_ms: Option<u64>) -> Terms {
        Terms {
            ttl_ms,
            quota: self.shared.quota,
        }
    }
}

impl Host for Ctx {
    fn get(&mut self, key: String) -> Result<Option<Vec<u8>>> {
        Ok(self.shared.state.store.read(&key))
    }

    fn set(&mut self, key: String, value: Vec<u8>, ttl_ms: Option<u64>) -> Answer<()> {
        Ok(said(self.shared.state.store.set(&key, value, self.terms(ttl_ms))))
    }

    fn delete(&mut self, key: String) -> Result<bool> {
        Ok(self.shared.state.store.delete(&key))
    }

    fn increment(&mut self, key: String, by: i64, ttl_ms: Option<u64>) -> Answer<i64> {
        Ok(said(self.shared.state.store.increment(
            &key,
            by,
            self.terms(ttl_ms),
        )))
    }

    fn compare_and_swap(
        &mut self,
        key: String,
        expected: Option<Vec<u8>>,
        value: Option<Vec<u8>>,
        ttl_ms: Option<u64>,
    ) -> Answer<bool> {
        let terms = self.terms(ttl_ms);
        let store = &self.shared.state.store;
        Ok(said(store.swap(&key, expected.as_deref(), value, terms)))
    }

    fn keys(&mut self, prefix: String) -> Result<Vec<String>> {
        Ok(self.shared.state.store.keys(&prefix))
    }
}

fn said<T>(outcome: std::result::Result<T, StoreError>) -> std::result::Result<T, String> {
    outcome.map_err(|error| error.to_string())
}
