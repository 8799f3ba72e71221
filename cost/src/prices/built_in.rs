//! The built-in prices, each with its source. A new price is a new row here, with its day. Pure.

use std::collections::BTreeMap;

use super::{
    AdvantagePrices, CloudWatchPrices, FargatePrices, PriceList, Prices, ProvisionedPrices, StandardPrices,
    TaskPrices,
};
use crate::usd::Usd;

/// The Regions whose prices are known here.
#[must_use]
pub fn price_list() -> PriceList {
    PriceList { regions: BTreeMap::from([("us-east-1".to_owned(), us_east_1())]) }
}

/// Read in November 2026 from AWS's pages and its public price files.
fn us_east_1() -> Prices {
    Prices {
        as_of: "2026-11-22".into(),
        source: "AWS's price list and pricing pages of Kinesis Data Streams, Fargate, CloudWatch and VPC"
            .into(),
        // Kinesis price list: OnDemandStreamHr, OnDemandDataIngested, OnDemandDataRetrieval.
        standard: StandardPrices {
            stream_hour: Usd::new(4, 2),
            ingest_gib: Usd::new(8, 2),
            retrieval_gib: Usd::new(4, 2),
        },
        // Kinesis price list: AdvantageDataIngested, AdvantageDataRetrieval, and the shortfalls at
        // the same prices.
        advantage: AdvantagePrices { ingest_gib: Usd::new(32, 3), retrieval_gib: Usd::new(16, 3) },
        // Kinesis price list: provisioned shard hour, PUT payload units.
        provisioned: ProvisionedPrices { shard_hour: Usd::new(15, 3), put_units_million: Usd::new(14, 3) },
        // Fargate pricing page, Linux.
        fargate: FargatePrices {
            x86_64: TaskPrices { vcpu_hour: Usd::new(4_048, 5), memory_gib_hour: Usd::new(4_445, 6) },
            arm64: TaskPrices { vcpu_hour: Usd::new(3_238, 5), memory_gib_hour: Usd::new(356, 5) },
        },
        // CloudWatch pricing page: the first 10,000 metrics, PutMetricData, dashboards beyond
        // three, log ingestion.
        cloud_watch: CloudWatchPrices {
            metric_month: Usd::new(30, 2),
            requests_thousand: Usd::new(1, 2),
            dashboard_month: Usd::new(3, 0),
            log_gib: Usd::new(50, 2),
        },
        // VPC pricing page, public IPv4 addresses.
        public_address_hour: Usd::new(5, 3),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_the_published_amounts() {
        let list = price_list();
        let prices = list.of("us-east-1").unwrap();
        let amounts = [
            (prices.standard.stream_hour, "0.04"),
            (prices.standard.ingest_gib, "0.08"),
            (prices.standard.retrieval_gib, "0.04"),
            (prices.advantage.ingest_gib, "0.032"),
            (prices.advantage.retrieval_gib, "0.016"),
            (prices.provisioned.shard_hour, "0.015"),
            (prices.provisioned.put_units_million, "0.014"),
            (prices.fargate.x86_64.vcpu_hour, "0.04048"),
            (prices.fargate.x86_64.memory_gib_hour, "0.004445"),
            (prices.fargate.arm64.vcpu_hour, "0.03238"),
            (prices.fargate.arm64.memory_gib_hour, "0.00356"),
            (prices.cloud_watch.metric_month, "0.3"),
            (prices.cloud_watch.requests_thousand, "0.01"),
            (prices.cloud_watch.dashboard_month, "3"),
            (prices.cloud_watch.log_gib, "0.5"),
            (prices.public_address_hour, "0.005"),
        ];
        for (amount, published) in amounts {
            assert_eq!(amount, published.parse().unwrap());
        }
    }
}
