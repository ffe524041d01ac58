//! Totals: what is new in a report, what a resumed session goes on from, and what no report can break.

use boocoder_model::{ContextUse, StepUsage, UsageReport};
use boocoder_usage_mapper::UsageMapper;
use proptest::prelude::*;

const CONTEXT: ContextUse = ContextUse { used: 10, size: 100 };

fn usage(input: u64, output: u64, cost: f64) -> StepUsage {
    StepUsage { input, output, cost }
}

fn cost_so_far(cost: f64) -> UsageReport {
    UsageReport::Context { context: CONTEXT, total_cost: Some(cost) }
}

#[test]
fn deltas_add_up() {
    let mut mapper = UsageMapper::new();
    assert_eq!(mapper.apply(&UsageReport::Delta(usage(5, 2, 0.5))), usage(5, 2, 0.5));
    assert_eq!(mapper.apply(&UsageReport::Delta(usage(1, 1, 0.25))), usage(1, 1, 0.25));
    assert_eq!(mapper.totals(), usage(6, 3, 0.75));
    assert_eq!(mapper.context(), None);
}

#[test]
fn of_a_running_total_only_the_growth_is_new() {
    let mut mapper = UsageMapper::new();
    assert_eq!(mapper.apply(&UsageReport::RunningTotal(usage(5, 2, 0.5))), usage(5, 2, 0.5));
    assert_eq!(mapper.apply(&UsageReport::RunningTotal(usage(8, 2, 0.75))), usage(3, 0, 0.25));
    assert!(mapper.apply(&UsageReport::RunningTotal(usage(5, 2, 0.5))).is_zero(), "a late report is no refund");
    assert_eq!(mapper.totals(), usage(8, 2, 0.75));
}

#[test]
fn the_same_use_told_in_both_ways_counts_once_in_either_order() {
    let (delta, total) = (UsageReport::Delta(usage(0, 0, 0.25)), cost_so_far(0.25));
    for reports in [[&delta, &total], [&total, &delta]] {
        let mut mapper = UsageMapper::new();
        assert_eq!(mapper.apply(reports[0]), usage(0, 0, 0.25));
        assert!(mapper.apply(reports[1]).is_zero());
        assert_eq!(mapper.totals(), usage(0, 0, 0.25));
    }
}

#[test]
fn a_resumed_session_goes_on_from_its_stored_totals() {
    let mut mapper = UsageMapper::resume(usage(100, 20, 1.0));
    assert!(mapper.apply(&cost_so_far(1.0)).is_zero(), "the agent repeats what was stored");
    assert_eq!(mapper.apply(&cost_so_far(1.5)), usage(0, 0, 0.5));
    assert_eq!(mapper.apply(&UsageReport::Delta(usage(10, 2, 0.0))), usage(10, 2, 0.0));
    assert_eq!(mapper.totals(), usage(110, 22, 1.5));
}

#[test]
fn counters_that_restart_are_added_to_what_was_used_before() {
    let mut mapper = UsageMapper::resume(usage(100, 20, 1.0));
    mapper.counters_restarted();
    assert_eq!(mapper.context(), None);
    assert_eq!(mapper.apply(&UsageReport::RunningTotal(usage(5, 1, 0.25))), usage(5, 1, 0.25));
    assert_eq!(mapper.apply(&UsageReport::Delta(usage(7, 0, 0.0))), usage(2, 0, 0.0), "five of the seven were told");
    assert_eq!(mapper.totals(), usage(107, 21, 1.25));
}

#[test]
fn the_last_context_stands() {
    let mut mapper = UsageMapper::new();
    mapper.apply(&cost_so_far(0.0));
    let compacted = ContextUse { used: 3, size: 100 };
    assert!(mapper.apply(&UsageReport::Context { context: compacted, total_cost: None }).is_zero());
    assert_eq!(mapper.context(), Some(compacted), "a context may shrink");
}

#[test]
fn even_the_greatest_numbers_add_up_to_a_number() {
    let greatest = usage(u64::MAX, u64::MAX, f64::MAX);
    let mut mapper = UsageMapper::resume(greatest);
    assert!(mapper.apply(&UsageReport::Delta(greatest)).is_zero());
    assert_eq!(mapper.totals(), greatest);
    mapper.counters_restarted();
    assert!(mapper.apply(&UsageReport::RunningTotal(greatest)).is_zero());
    assert_eq!(mapper.totals(), greatest);
}

fn any_usage() -> impl Strategy<Value = StepUsage> {
    (any::<u64>(), 0..1000_u64, prop::num::f64::ANY).prop_map(|(input, output, cost)| StepUsage { input, output, cost })
}

fn any_report() -> impl Strategy<Value = UsageReport> {
    prop_oneof![
        any_usage().prop_map(UsageReport::Delta),
        any_usage().prop_map(UsageReport::RunningTotal),
        (any::<u64>(), any::<u64>(), prop::option::of(prop::num::f64::ANY)).prop_map(|(used, size, total_cost)| {
            UsageReport::Context { context: ContextUse { used, size }, total_cost }
        }),
    ]
}

proptest! {
    #[test]
    fn totals_stay_finite_and_never_fall(
        stored in any_usage(),
        steps in prop::collection::vec((any_report(), prop::bool::weighted(0.1)), 0..40),
    ) {
        let mut mapper = UsageMapper::resume(stored);
        for (report, restarted) in steps {
            if restarted {
                mapper.counters_restarted();
            }
            let before = mapper.totals();
            let new = mapper.apply(&report);
            let after = mapper.totals();
            for cost in [before.cost, new.cost, after.cost] {
                prop_assert!(cost.is_finite() && cost >= 0.0, "{cost}");
            }
            prop_assert!(after.input >= before.input && after.output >= before.output && after.cost >= before.cost);
            prop_assert_eq!(after.input - before.input, new.input);
            prop_assert_eq!(after.output - before.output, new.output);
        }
    }

    /// A session told step by step, as a running total, or both at once has the same totals.
    #[test]
    fn the_way_of_telling_makes_no_difference(
        steps in prop::collection::vec((0..10_000_u64, 0..10_000_u64, 0..64_u32, 0..3_u8), 0..40),
    ) {
        let mut mapper = UsageMapper::new();
        let mut truth = StepUsage::default();
        for (input, output, cost, way) in steps {
            // Sixteenths of a dollar add up exactly.
            let step = usage(input, output, f64::from(cost) / 16.0);
            truth = usage(truth.input + input, truth.output + output, truth.cost + step.cost);
            let (delta, total) = (UsageReport::Delta(step), UsageReport::RunningTotal(truth));
            let mut told = mapper.apply(&delta);
            if way > 0 {
                let more = mapper.apply(&total);
                told = usage(told.input + more.input, told.output + more.output, told.cost + more.cost);
            }
            prop_assert_eq!(told, step);
            prop_assert_eq!(mapper.totals(), truth);
        }
    }
}
