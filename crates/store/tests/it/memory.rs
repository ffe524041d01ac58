//! The engine in memory.

use boocoder_store::conformance::Fixture;
use boocoder_store::{MemStore, Store};

struct Memory(MemStore);

impl Fixture for Memory {
    async fn new() -> Self {
        Self(MemStore::new())
    }

    fn store(&self) -> &dyn Store {
        &self.0
    }

    async fn end(self) {}
}

boocoder_store::store_conformance!(Memory);
