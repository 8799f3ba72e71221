//! AWS's prices by Region. In: the built-in table, and a file that replaces or adds Regions. Out:
//! the prices of one Region, or nothing for a Region that is not known. Reads the file.

pub mod built_in;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::usd::Usd;

/// The hours of a month in AWS's prices per month (AWS Pricing Calculator: 730).
pub const HOURS_OF_MONTH: u32 = 730;

/// The prices of one Region, in US dollars, without free tiers unless named.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Prices {
    /// The day on which the prices were read, as in 2026-11-22.
    pub as_of: String,
    /// Where they were read.
    pub source: String,
    /// On-demand streams, Standard.
    pub standard: StandardPrices,
    /// On-demand streams, Advantage.
    pub advantage: AdvantagePrices,
    /// Provisioned streams.
    pub provisioned: ProvisionedPrices,
    /// Tasks.
    pub fargate: FargatePrices,
    /// Metrics, dashboards and logs.
    pub cloud_watch: CloudWatchPrices,
    /// A public IPv4 address, per hour.
    pub public_address_hour: Usd,
}

/// All Regions need less.
const LONGEST_FILE: u64 = 1024 * 1024;
/// No unit costs more. A higher price is one of another unit, and its sums would not fit a status.
const HIGHEST_PRICE: Usd = Usd::new(10_000, 0);
/// The longest name of a source.
const LONGEST_SOURCE: usize = 256;

impl Prices {
    /// What is wrong with them, beyond the form of each value.
    fn check(&self) -> Result<(), String> {
        // Destructured without `..`, so that a new price cannot be forgotten.
        let Self {
            as_of,
            source,
            standard,
            advantage,
            provisioned,
            fargate,
            cloud_watch,
            public_address_hour,
        } = self;
        let StandardPrices { stream_hour, ingest_gib, retrieval_gib } = standard;
        let AdvantagePrices { ingest_gib: advantage_ingest_gib, retrieval_gib: advantage_retrieval_gib } =
            advantage;
        let ProvisionedPrices { shard_hour, put_units_million } = provisioned;
        let FargatePrices { x86_64, arm64 } = fargate;
        let CloudWatchPrices { metric_month, requests_thousand, dashboard_month, log_gib } = cloud_watch;
        let highest = [
            stream_hour,
            ingest_gib,
            retrieval_gib,
            advantage_ingest_gib,
            advantage_retrieval_gib,
            shard_hour,
            put_units_million,
            &x86_64.vcpu_hour,
            &x86_64.memory_gib_hour,
            &arm64.vcpu_hour,
            &arm64.memory_gib_hour,
            metric_month,
            requests_thousand,
            dashboard_month,
            log_gib,
            public_address_hour,
        ]
        .into_iter()
        .max();
        if let Some(price) = highest.filter(|price| **price > HIGHEST_PRICE) {
            return Err(format!(
                "a price of {price} is too high; the highest that is accepted is {HIGHEST_PRICE}"
            ));
        }
        let is_date = as_of.len() == 10
            && as_of.bytes().zip(b"0000-00-00".iter()).all(|(byte, form)| match form {
                b'-' => byte == b'-',
                _ => byte.is_ascii_digit(),
            });
        if !is_date {
            return Err("asOf must be a day, as in 2026-11-22".into());
        }
        if source.chars().count() > LONGEST_SOURCE {
            return Err(format!("source must have at most {LONGEST_SOURCE} characters"));
        }
        Ok(())
    }
}

/// Prices of on-demand streams, Standard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StandardPrices {
    /// A stream, per hour.
    pub stream_hour: Usd,
    /// Records written, per GiB.
    pub ingest_gib: Usd,
    /// Records read, per GiB.
    pub retrieval_gib: Usd,
}

/// Prices of on-demand streams, Advantage. The minimum is charged at the same prices.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AdvantagePrices {
    /// Records written, per GiB.
    pub ingest_gib: Usd,
    /// Records read, per GiB.
    pub retrieval_gib: Usd,
}

/// Prices of provisioned streams.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProvisionedPrices {
    /// A shard, per hour.
    pub shard_hour: Usd,
    /// A million PUT payload units of 25 KB.
    pub put_units_million: Usd,
}

/// Prices of tasks on Linux.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FargatePrices {
    /// On x86-64.
    #[serde(rename = "x86_64")]
    pub x86_64: TaskPrices,
    /// On ARM64.
    pub arm64: TaskPrices,
}

/// Prices of tasks of one architecture.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TaskPrices {
    /// A vCPU, per hour.
    pub vcpu_hour: Usd,
    /// A GiB of memory, per hour.
    pub memory_gib_hour: Usd,
}

/// Prices of CloudWatch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CloudWatchPrices {
    /// A custom metric, per month; charged by the hour in which it gets data.
    pub metric_month: Usd,
    /// A thousand requests that publish metrics.
    pub requests_thousand: Usd,
    /// A dashboard beyond the free ones, per month; charged by the hour.
    pub dashboard_month: Usd,
    /// Log lines written, per GiB.
    pub log_gib: Usd,
}

/// Prices by Region.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PriceList {
    /// By the Region's name, as in us-east-1.
    pub regions: BTreeMap<String, Prices>,
}

/// Why a file of prices cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PriceFileError(String);

impl PriceList {
    /// The list in a file (YAML or JSON).
    pub fn parse(text: &str) -> Result<Self, PriceFileError> {
        let not_prices = |why: String| PriceFileError(format!("this is not a file of prices: {why}"));
        let list: Self = serde_saphyr::from_str(text).map_err(|error| not_prices(error.to_string()))?;
        for (region, prices) in &list.regions {
            prices.check().map_err(|why| not_prices(format!("{region}: {why}")))?;
        }
        Ok(list)
    }

    /// The built-in list with the Regions of this file replaced or added. The error names the file.
    pub fn with_file(path: &Path) -> Result<Self, PriceFileError> {
        let unreadable = |source| PriceFileError(format!("could not read {}: {source}", path.display()));
        let mut text = String::new();
        let file = File::open(path).map_err(unreadable)?;
        file.take(LONGEST_FILE + 1).read_to_string(&mut text).map_err(unreadable)?;
        if text.len() as u64 > LONGEST_FILE {
            return Err(PriceFileError(format!("could not use {}: it is longer than 1 MiB", path.display())));
        }
        let read = Self::parse(&text).map_err(|PriceFileError(why)| {
            PriceFileError(format!("could not use {}: {why}", path.display()))
        })?;
        Ok(built_in::price_list().overridden_by(read))
    }

    /// This list, with the Regions of `other` replaced or added.
    #[must_use]
    pub fn overridden_by(mut self, other: Self) -> Self {
        self.regions.extend(other.regions);
        self
    }

    /// The prices of a Region; `None` if they are not known. A Region's prices are never taken for
    /// another's.
    #[must_use]
    pub fn of(&self, region: &str) -> Option<&Prices> {
        self.regions.get(region)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_replaces_and_adds_regions() {
        let mut prices = built_in::price_list().of("us-east-1").unwrap().clone();
        prices.standard.stream_hour = "0.05".parse().unwrap();
        let mut file = PriceList { regions: BTreeMap::from([("eu-north-1".into(), prices.clone())]) };
        file.regions.insert("us-east-1".into(), prices.clone());
        // JSON is YAML.
        let parsed = PriceList::parse(&serde_json::to_string(&file).unwrap()).unwrap();
        let list = built_in::price_list().overridden_by(parsed);
        assert_eq!((list.of("us-east-1"), list.of("eu-north-1")), (Some(&prices), Some(&prices)));
        assert_eq!(list.of("eu-south-2"), None);
    }

    #[test]
    fn the_example_in_the_documentation_is_a_file_of_prices() {
        let page = include_str!("../../../docs/howto/cost.md");
        let (_, rest) = page.split_once("```yaml\n").unwrap();
        let (example, _) = rest.split_once("```").unwrap();
        let list = PriceList::parse(example).unwrap();
        let prices = list.of("eu-central-1").unwrap();
        assert_eq!(prices.fargate.x86_64.memory_gib_hour, "0.00511".parse().unwrap());
    }

    #[test]
    fn an_error_in_a_file_names_the_field() {
        let whole = serde_json::to_value(built_in::price_list()).unwrap();
        let parse = |change: &dyn Fn(&mut serde_json::Value)| {
            let mut changed = whole.clone();
            change(&mut changed["regions"]["us-east-1"]);
            PriceList::parse(&changed.to_string()).map(drop).map_err(|error| error.to_string())
        };
        assert_eq!(parse(&|_| {}), Ok(()));
        let missing = parse(&|region| drop(region.as_object_mut().unwrap().remove("fargate"))).unwrap_err();
        assert!(missing.contains("fargate"), "{missing}");
        let unknown = parse(&|region| region["fargat"] = 1.into()).unwrap_err();
        assert!(unknown.contains("fargat"), "{unknown}");
        let date = parse(&|region| region["asOf"] = "x".repeat(33).into()).unwrap_err();
        assert!(date.ends_with("us-east-1: asOf must be a day, as in 2026-11-22"), "{date}");
        let high = parse(&|region| region["standard"]["ingestGib"] = "999999999".into()).unwrap_err();
        assert!(high.contains("a price of $999999999.00 is too high"), "{high}");
        let amount = parse(&|region| region["publicAddressHour"] = "five".into()).unwrap_err();
        assert!(amount.contains("`five` is not an amount in US dollars"), "{amount}");
    }
}
