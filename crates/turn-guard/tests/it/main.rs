//! Tests of the turn guard on a virtual clock: the cases that agents were seen to make, and random ones against a
//! reference model.

mod cases;
mod reference;

use std::time::Duration;

use boocoder_model::TurnId;
use boocoder_turn_guard::Limits;
use uuid::Uuid;

const LIMITS: Limits = Limits {
    orphans: 1,
    orphan_window: Duration::from_secs(10),
    cancel: Duration::from_secs(20),
    key: Duration::from_secs(5),
    silence: Duration::from_secs(60),
};

fn turn(number: u128) -> TurnId {
    TurnId::from_uuid(Uuid::from_u128(number))
}

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
