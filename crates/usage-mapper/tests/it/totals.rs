//! Totals: what is new in a report, what a resumed session goes on from, and what no report can break.

use boocoder_model::{ContextUse, Cost, Currency, MAX_COUNT, StepUsage, UsageReport, UsageSource, UsageTotals};
use boocoder_usage_mapper::{UsageMapper, limits};
use proptest::prelude::*;

const CONTEXT: ContextUse = ContextUse { used: 10, size: 100 };

/// Tokens with a cost in billionths of a dollar.
fn usage(input: u64, output: u64, nanos: u64) -> StepUsage {
    StepUsage { input, output, cost: Some(Cost::from_nanos(nanos, Currency::USD)) }
}

fn tokens(input: u64, output: u64) -> StepUsage {
    StepUsage { input, output, cost: None }
}

fn total(input: u64, output: u64, nanos: u64) -> UsageTotals {
    usage(input, output, nanos).into()
}

fn cost_so_far(nanos: u64) -> UsageReport {
    UsageReport::Context { context: CONTEXT, total_cost: Some(Cost::from_nanos(nanos, Currency::USD)) }
}

#[test]
fn deltas_add_up() {
    let mut mapper = UsageMapper::new();
    assert_eq!(mapper.apply(&UsageReport::turn(usage(5, 2, 50))), usage(5, 2, 50));
    assert_eq!(mapper.apply(&UsageReport::turn(usage(1, 1, 25))), usage(1, 1, 25));
    assert_eq!(mapper.totals(), total(6, 3, 75));
    assert_eq!(mapper.context(), None);
}

#[test]
fn of_a_running_total_only_the_growth_is_new() {
    let mut mapper = UsageMapper::new();
    assert_eq!(mapper.apply(&UsageReport::RunningTotal(usage(5, 2, 50))), usage(5, 2, 50));
    assert_eq!(mapper.apply(&UsageReport::RunningTotal(usage(8, 2, 75))), usage(3, 0, 25));
    assert!(mapper.apply(&UsageReport::RunningTotal(usage(5, 2, 50))).is_empty(), "a late report is no refund");
    assert_eq!(mapper.totals(), total(8, 2, 75));
}

#[test]
fn the_same_use_told_in_both_ways_counts_once_in_either_order() {
    let (delta, so_far) = (UsageReport::turn(usage(0, 0, 25)), cost_so_far(25));
    for reports in [[&delta, &so_far], [&so_far, &delta]] {
        let mut mapper = UsageMapper::new();
        assert_eq!(mapper.apply(reports[0]), usage(0, 0, 25));
        assert!(mapper.apply(reports[1]).is_empty());
        assert_eq!(mapper.totals(), total(0, 0, 25));
    }
}

#[test]
fn a_turn_and_its_steps_count_once_in_either_order() {
    let steps = [UsageReport::step(tokens(10, 1)), UsageReport::step(tokens(12, 2))];
    let turn = UsageReport::turn(tokens(22, 3));
    for reports in [[&steps[0], &steps[1], &turn], [&turn, &steps[0], &steps[1]], [&steps[0], &turn, &steps[1]]] {
        let mut mapper = UsageMapper::new();
        for _ in 0..2 {
            mapper.begin_turn();
            for report in reports {
                mapper.apply(report);
            }
        }
        assert_eq!(mapper.totals(), UsageTotals::from(tokens(44, 6)));
    }
}

#[test]
fn a_turn_that_tells_only_its_last_step_is_the_sum_of_its_steps() {
    let mut mapper = UsageMapper::new();
    mapper.begin_turn();
    mapper.apply(&UsageReport::step(tokens(10, 1)));
    mapper.apply(&UsageReport::step(tokens(12, 2)));
    assert!(mapper.apply(&UsageReport::turn(tokens(12, 2))).is_empty());
    mapper.begin_turn();
    assert_eq!(mapper.apply(&UsageReport::turn(tokens(7, 1))), tokens(7, 1), "another turn has other steps");
    assert_eq!(mapper.totals(), UsageTotals::from(tokens(29, 4)));
}

#[test]
fn a_cost_that_is_not_told_is_unknown_and_one_of_zero_is_known() {
    let mut mapper = UsageMapper::new();
    assert_eq!(mapper.apply(&UsageReport::turn(tokens(5, 2))), tokens(5, 2));
    assert_eq!((mapper.totals().main_cost(), mapper.tells_cost()), (None, false));
    assert_eq!(mapper.apply(&cost_so_far(0)), usage(0, 0, 0), "that it is zero is news");
    assert!(mapper.apply(&cost_so_far(0)).is_empty());
    assert_eq!((mapper.totals(), mapper.tells_cost()), (total(5, 2, 0), true));
}

#[test]
fn currencies_stand_beside_each_other() {
    let euro = Currency::new("EUR").unwrap();
    let euros = |nanos| Some(Cost::from_nanos(nanos, euro));
    let mut mapper = UsageMapper::new();
    mapper.apply(&cost_so_far(30));
    let told = UsageReport::Context { context: CONTEXT, total_cost: euros(20) };
    assert_eq!(mapper.apply(&told).cost, euros(20), "less than the dollars, and new all the same");
    assert_eq!(mapper.totals().costs, [(euro, 20), (Currency::USD, 30)].into());
    mapper.counters_restarted();
    assert_eq!(mapper.apply(&UsageReport::Context { context: CONTEXT, total_cost: euros(5) }).cost, euros(5));
    assert_eq!(mapper.totals().costs, [(euro, 25), (Currency::USD, 30)].into());
}

#[test]
fn a_session_has_so_many_currencies_and_no_more() {
    let mut mapper = UsageMapper::new();
    let costs = |number: usize| Some(Cost::from_nanos(1, Currency::new(&format!("C{number}")).unwrap()));
    for number in 0..limits::CURRENCIES + 3 {
        mapper.apply(&UsageReport::turn(StepUsage { cost: costs(number), ..tokens(1, 0) }));
    }
    assert_eq!(
        (mapper.totals().costs.len(), mapper.totals().input),
        (limits::CURRENCIES, limits::CURRENCIES as u64 + 3)
    );
    assert_eq!(mapper.apply(&UsageReport::turn(StepUsage { cost: costs(0), ..tokens(0, 0) })).cost, costs(0));
}

#[test]
fn a_price_is_made_good_by_what_the_agent_tells_later() {
    let mut mapper = UsageMapper::new();
    mapper.begin_turn();
    mapper.apply(&UsageReport::turn(tokens(5, 2)));
    let priced = UsageReport::Delta { source: UsageSource::PriceTable, used: usage(0, 0, 10) };
    assert_eq!(mapper.apply(&priced), usage(0, 0, 10));
    assert!(!mapper.tells_cost(), "the agent has told nothing yet");
    assert_eq!(mapper.apply(&cost_so_far(30)), usage(0, 0, 20), "ten of the thirty were counted");
    assert!(mapper.tells_cost());
}

#[test]
fn a_resumed_session_goes_on_from_its_stored_totals() {
    let mut mapper = UsageMapper::resume(total(100, 20, 100), true);
    assert!(mapper.tells_cost());
    assert!(mapper.apply(&cost_so_far(100)).is_empty(), "the agent repeats what was stored");
    assert_eq!(mapper.apply(&cost_so_far(150)), usage(0, 0, 50));
    assert_eq!(mapper.apply(&UsageReport::turn(tokens(10, 2))), tokens(10, 2));
    assert_eq!(mapper.totals(), total(110, 22, 150));
}

#[test]
fn counters_that_restart_are_added_to_what_was_used_before() {
    let mut mapper = UsageMapper::resume(total(100, 20, 100), true);
    mapper.counters_restarted();
    assert_eq!(mapper.context(), None);
    assert_eq!(mapper.apply(&UsageReport::RunningTotal(usage(5, 1, 25))), usage(5, 1, 25));
    assert_eq!(mapper.apply(&UsageReport::turn(tokens(7, 0))), tokens(2, 0), "five of the seven were told");
    assert_eq!(mapper.totals(), total(107, 21, 125));
}

#[test]
fn the_last_context_stands() {
    let mut mapper = UsageMapper::new();
    mapper.apply(&cost_so_far(0));
    let compacted = ContextUse { used: 3, size: 100 };
    assert!(mapper.apply(&UsageReport::Context { context: compacted, total_cost: None }).is_empty());
    assert_eq!(mapper.context(), Some(compacted), "a context may shrink");
}

#[test]
fn even_the_greatest_numbers_add_up_to_a_number() {
    let greatest = usage(u64::MAX, u64::MAX, u64::MAX);
    let mut mapper = UsageMapper::resume(greatest.into(), true);
    assert!(mapper.apply(&UsageReport::turn(greatest)).is_empty());
    assert_eq!(mapper.totals(), total(MAX_COUNT, MAX_COUNT, MAX_COUNT));
    mapper.counters_restarted();
    assert!(mapper.apply(&UsageReport::RunningTotal(greatest)).is_empty());
    assert_eq!(mapper.totals(), total(MAX_COUNT, MAX_COUNT, MAX_COUNT));
}

fn any_usage() -> impl Strategy<Value = StepUsage> {
    let cost = (any::<u64>(), prop::sample::select(vec!["USD", "EUR", "CHF"]))
        .prop_map(|(nanos, code)| Cost::from_nanos(nanos, Currency::new(code).expect("a code")));
    (any::<u64>(), 0..1000_u64, prop::option::of(cost)).prop_map(|(input, output, cost)| StepUsage {
        input,
        output,
        cost,
    })
}

fn any_report() -> impl Strategy<Value = UsageReport> {
    prop_oneof![
        any_usage().prop_map(UsageReport::turn),
        any_usage().prop_map(UsageReport::step),
        any_usage().prop_map(|used| UsageReport::Delta { source: UsageSource::PriceTable, used }),
        any_usage().prop_map(UsageReport::RunningTotal),
        (any::<u64>(), any::<u64>(), any_usage()).prop_map(|(used, size, total)| {
            UsageReport::Context { context: ContextUse { used, size }, total_cost: total.cost }
        }),
    ]
}

proptest! {
    /// Whatever is reported, no total falls, and what is new adds up to the totals, in every currency.
    #[test]
    fn totals_never_fall_and_are_the_sums_of_what_was_new(
        steps in prop::collection::vec((any_report(), 0..20_u8), 0..40),
    ) {
        let mut mapper = UsageMapper::new();
        let mut sum = UsageTotals::default();
        for (report, also) in steps {
            match also {
                0 => mapper.counters_restarted(),
                1..4 => mapper.begin_turn(),
                _ => {}
            }
            let before = mapper.totals();
            prop_assert_eq!(&before, &sum, "neither a turn's beginning nor a restart changes a total");
            sum.add(&mapper.apply(&report));
            let after = mapper.totals();
            prop_assert_eq!(&after, &sum);
            prop_assert!(after.input >= before.input && after.output >= before.output);
            for (currency, nanos) in before.costs {
                prop_assert!(after.costs[&currency] >= nanos, "{currency}");
            }
        }
    }

    /// What is kept of a mapper is all of it: one that is restored between any two reports finds the same news.
    #[test]
    fn a_restored_mapper_goes_on_as_if_nothing_had_been(reports in prop::collection::vec(any_report(), 0..20)) {
        let (mut lasting, mut restored) = (UsageMapper::new(), UsageMapper::new());
        for report in reports {
            restored = UsageMapper::restore(restored.ledger().clone());
            prop_assert_eq!(lasting.apply(&report), restored.apply(&report));
        }
    }

    /// A session told step by step, turn by turn, as a running total, or in all ways at once has the same totals.
    #[test]
    fn the_way_of_telling_makes_no_difference(
        turns in prop::collection::vec((prop::collection::vec((0..10_000_u64, 0..10_000_u64, 0..64_u64), 1..4), 1..8_u8), 0..20),
    ) {
        let mut mapper = UsageMapper::new();
        let mut truth = UsageTotals::default();
        for (steps, ways) in turns {
            mapper.begin_turn();
            let mut turn = UsageTotals::default();
            for (input, output, nanos) in steps {
                let step = usage(input, output, nanos);
                turn.add(&step);
                truth.add(&step);
                if ways & 1 != 0 {
                    mapper.apply(&UsageReport::step(step));
                }
            }
            let whole = |totals: &UsageTotals| usage(totals.input, totals.output, totals.costs[&Currency::USD]);
            if ways & 2 != 0 {
                mapper.apply(&UsageReport::turn(whole(&turn)));
            }
            if ways & 4 != 0 {
                mapper.apply(&UsageReport::RunningTotal(whole(&truth)));
            }
            prop_assert_eq!(&mapper.totals(), &truth);
        }
    }
}
