//! The price of a usage, item by item. In: a usage, prices, a way of paying for the stream. Out: a
//! bill. Pure.

use kinesis_demo_api::demo::Architecture;
use kinesis_demo_api::plan::Plan;
use rust_decimal::Decimal;
use serde::Serialize;

use crate::prices::{HOURS_OF_MONTH, Prices};
use crate::usage::{HOUR, Usage};
use crate::usd::Usd;

/// The throughput for which On-demand Advantage charges at least, in each direction (Kinesis
/// pricing page).
pub const ADVANTAGE_MIB_PER_SECOND: u64 = 25;

/// The shortest commitment to On-demand Advantage (developer guide, "On-demand Advantage mode").
pub const ADVANTAGE_HOURS: u64 = 24;

/// A way of paying for a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payment {
    /// On-demand Standard.
    Standard,
    /// On-demand Advantage, with the minimum of its shortest commitment as if nothing else in the
    /// account and Region used it.
    Advantage,
    /// Provisioned, with this number of shards.
    Provisioned { shards: u64 },
}

impl Payment {
    /// The way of paying that a plan asks for.
    #[must_use]
    pub const fn of(plan: &Plan) -> Self {
        if plan.needs_advantage { Self::Advantage } else { Self::Standard }
    }
}

/// What a bill consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Component {
    /// The hours of the stream.
    StreamHours,
    /// The hours of a provisioned stream's shards.
    ShardHours,
    /// Records written.
    Ingestion,
    /// Records read.
    Retrieval,
    /// What the minimum of On-demand Advantage exceeds the usage by.
    AdvantageMinimum,
    /// The tasks.
    Tasks,
    /// The tasks' public addresses.
    PublicAddresses,
    /// Custom metrics.
    Metrics,
    /// The dashboard.
    Dashboard,
    /// The log.
    Log,
}

impl Component {
    /// What it is called in sentences and tables.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::StreamHours => "stream",
            Self::ShardHours => "shards",
            Self::Ingestion => "records written",
            Self::Retrieval => "records read",
            Self::AdvantageMinimum => "On-demand Advantage, rest of the minimum",
            Self::Tasks => "Fargate tasks",
            Self::PublicAddresses => "public addresses",
            Self::Metrics => "custom metrics",
            Self::Dashboard => "dashboard",
            Self::Log => "log",
        }
    }
}

/// One line of a bill.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// What is charged.
    pub component: Component,
    /// How much of it.
    pub quantity: Decimal,
    /// In which unit.
    pub unit: &'static str,
    /// The price of all of it.
    pub cost: Usd,
}

/// A bill: items in the order of [`Component`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bill(pub Vec<Item>);

impl Bill {
    /// Prices `usage`.
    #[must_use]
    pub fn of(usage: &Usage, prices: &Prices, payment: Payment) -> Self {
        let mut items = stream_items(usage, prices, payment);
        items.extend(other_items(usage, prices));
        items.retain(|item| item.cost > Usd::ZERO);
        Self(items)
    }

    /// Prices the usage of a run of `plan` without the rest of Advantage's minimum, which an
    /// account pays once, however many runs use it.
    #[must_use]
    pub fn of_run(plan: &Plan, usage: &Usage, prices: &Prices) -> Self {
        let mut bill = Self::of(usage, prices, Payment::of(plan));
        bill.0.retain(|item| item.component != Component::AdvantageMinimum);
        bill
    }

    /// The sum of all items.
    #[must_use]
    pub fn total(&self) -> Usd {
        self.0.iter().map(|item| item.cost).sum()
    }

    /// The cost of one component.
    #[must_use]
    pub fn cost_of(&self, component: Component) -> Usd {
        self.0.iter().filter(|item| item.component == component).map(|item| item.cost).sum()
    }
}

/// The minimum of On-demand Advantage for this many hours: in us-east-1 $4.21875 an hour.
#[must_use]
pub fn advantage_minimum(prices: &Prices, hours: u64) -> Usd {
    let gib = least_gib(hours);
    prices.advantage.ingest_gib.times(gib) + prices.advantage.retrieval_gib.times(gib)
}

/// The GiB for which On-demand Advantage charges at least, in each direction.
fn least_gib(hours: u64) -> Decimal {
    parts(ADVANTAGE_MIB_PER_SECOND * HOUR * hours, 1_024)
}

fn stream_items(usage: &Usage, prices: &Prices, payment: Payment) -> Vec<Item> {
    let ingested = parts(usage.ingested_kib, 1_024 * 1_024);
    let retrieved = parts(usage.retrieved_bytes, 1_024 * 1_024 * 1_024);
    let by_gib = |ingest_gib: Usd, retrieval_gib: Usd| {
        [
            item(Component::Ingestion, ingested, "GiB", ingest_gib),
            item(Component::Retrieval, retrieved, "GiB", retrieval_gib),
        ]
    };
    match payment {
        Payment::Standard => {
            let prices = &prices.standard;
            let hours = Decimal::from(usage.stream_hours);
            let mut items = vec![item(Component::StreamHours, hours, "hours", prices.stream_hour)];
            items.extend(by_gib(prices.ingest_gib, prices.retrieval_gib));
            items
        }
        Payment::Advantage => {
            let rates = &prices.advantage;
            // What is used in an hour beyond the minimum does not reduce that of other hours.
            let least = least_gib(usage.stream_hours);
            let used =
                rates.ingest_gib.times(ingested.min(least)) + rates.retrieval_gib.times(retrieved.min(least));
            let hours = ADVANTAGE_HOURS.max(usage.stream_hours);
            let rest = Item {
                component: Component::AdvantageMinimum,
                quantity: Decimal::from(hours),
                unit: "hours",
                cost: advantage_minimum(prices, hours) - used,
            };
            by_gib(rates.ingest_gib, rates.retrieval_gib).into_iter().chain([rest]).collect()
        }
        Payment::Provisioned { shards } => {
            let prices = &prices.provisioned;
            let hours = Decimal::from(usage.stream_hours.saturating_mul(shards));
            let millions = parts(usage.put_units, 1_000_000);
            vec![
                item(Component::ShardHours, hours, "shard-hours", prices.shard_hour),
                item(Component::Ingestion, millions, "million PUT units", prices.put_units_million),
            ]
        }
    }
}

fn other_items(usage: &Usage, prices: &Prices) -> [Item; 5] {
    let task = match usage.task.architecture {
        Architecture::X86_64 => &prices.fargate.x86_64,
        Architecture::Arm64 => &prices.fargate.arm64,
    };
    let task_hours = parts(usage.task_seconds, HOUR);
    let an_hour = task.vcpu_hour.times(parts(usage.task.cpu.into(), 1_024))
        + task.memory_gib_hour.times(parts(usage.task.memory_mib.into(), 1_024));
    let address_hours = if usage.public_addresses { task_hours } else { Decimal::ZERO };
    let watch = &prices.cloud_watch;
    let of_month = Decimal::from(HOURS_OF_MONTH);
    let monthly = |component, hours: u64, month: Usd| {
        let hours = Decimal::from(hours);
        Item { component, quantity: hours, unit: "hours", cost: month.times(hours / of_month) }
    };
    let requests = watch.requests_thousand.times(parts(usage.metric_requests, 1_000));
    let mut metrics = monthly(Component::Metrics, usage.metric_hours, watch.metric_month);
    metrics.cost += requests;
    metrics.unit = "metric-hours";
    [
        item(Component::Tasks, task_hours, "task-hours", an_hour),
        item(Component::PublicAddresses, address_hours, "hours", prices.public_address_hour),
        metrics,
        monthly(Component::Dashboard, usage.dashboard_hours, watch.dashboard_month),
        item(Component::Log, parts(usage.log_bytes, 1_024 * 1_024 * 1_024), "GiB", watch.log_gib),
    ]
}

fn item(component: Component, quantity: Decimal, unit: &'static str, price: Usd) -> Item {
    Item { component, quantity, unit, cost: price.times(quantity) }
}

fn parts(count: u64, of: u64) -> Decimal {
    Decimal::from(count).checked_div(Decimal::from(of)).unwrap_or(Decimal::ZERO)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prices::built_in::price_list;
    use crate::usage::TaskSize;

    fn prices() -> Prices {
        price_list().of("us-east-1").unwrap().clone()
    }

    fn usd(text: &str) -> Usd {
        text.parse().unwrap()
    }

    #[test]
    fn an_hour_at_50_000_records_costs_what_a_pocket_calculator_says() {
        // 180 million records of at most 1 KiB: 171.66 GiB.
        let usage = Usage {
            stream_hours: 1,
            records: 180_000_000,
            ingested_kib: 180_000_000,
            put_units: 180_000_000,
            ..Usage::default()
        };
        let total = |payment| Bill::of(&usage, &prices(), payment).total();
        assert_eq!(total(Payment::Standard).to_string(), "$13.77");
        assert_eq!(total(Payment::Provisioned { shards: 63 }).to_string(), "$3.47");
        // 5.49 of ingestion exceed the hour's 2.81; the rest of the minimum is 101.25 - 2.81.
        assert_eq!(total(Payment::Advantage).to_string(), "$103.93");
    }

    #[test]
    fn the_minimum_of_advantage_is_101_25_a_day() {
        assert_eq!(advantage_minimum(&prices(), 1), usd("4.21875"));
        assert_eq!(advantage_minimum(&prices(), 24), usd("101.25"));
        let idle = Bill::of(&Usage { stream_hours: 1, ..Usage::default() }, &prices(), Payment::Advantage);
        assert_eq!(idle.total(), usd("101.25"));
    }

    #[test]
    fn tasks_are_charged_by_their_size_and_time() {
        let task = TaskSize { cpu: 256, memory_mib: 512, architecture: Architecture::X86_64 };
        let usage = Usage { task_seconds: 3_600, task, public_addresses: true, ..Usage::default() };
        let bill = Bill::of(&usage, &prices(), Payment::Standard);
        assert_eq!(bill.cost_of(Component::Tasks), usd("0.0123425"));
        assert_eq!(bill.cost_of(Component::PublicAddresses), usd("0.005"));
        let arm = TaskSize { architecture: Architecture::Arm64, ..task };
        let bill =
            Bill::of(&Usage { task: arm, public_addresses: false, ..usage }, &prices(), Payment::Standard);
        assert_eq!(bill.total(), usd("0.009875"));
    }

    #[test]
    fn monthly_prices_are_charged_by_the_hour() {
        let usage =
            Usage { metric_hours: 730, metric_requests: 1_000, dashboard_hours: 73, ..Usage::default() };
        let bill = Bill::of(&usage, &prices(), Payment::Standard);
        assert_eq!(bill.cost_of(Component::Metrics), usd("0.31"));
        assert_eq!(bill.cost_of(Component::Dashboard), usd("0.3"));
    }
}
