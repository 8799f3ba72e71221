//! `estimate`: what a run of a manifest costs on AWS. In: a manifest, prices. Out: a table or data.
//! Reads the two files; needs neither cluster nor account.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

use kinesis_demo_api::plan::{Defaults, Plan};
use kinesis_demo_cost::bill::{ADVANTAGE_HOURS, Bill, Component, Payment};
use kinesis_demo_cost::estimate::{Estimate, estimate as estimate_of};
use kinesis_demo_cost::prices::{PriceList, Prices, built_in};
use kinesis_demo_cost::usd::Usd;
use serde_json::{Value, json};

use crate::args::{self, Output};
use crate::error::CliError;
use crate::exit_status::ExitStatus;
use crate::manifest::read_manifests;
use crate::output::{document, item};
use crate::render::printable::printable;

/// The most tasks that the schema allows (`generator.maxTasks`).
const MOST_TASKS: u32 = 100;

/// What no estimate includes.
const NOT_INCLUDED: &str =
    "tasks that fail and are replaced, retained streams, NAT or VPC endpoints, images, free tiers, taxes";

pub fn estimate(arguments: &args::Estimate) -> Result<ExitStatus, CliError> {
    let list = price_list(arguments.prices.as_deref())?;
    let manifests = read_manifests(&arguments.file)?;
    let is_single = manifests.len() == 1;
    let mut texts = Vec::new();
    for manifest in &manifests {
        let refused = |reason| CliError::Manifest { path: arguments.file.clone(), reason };
        let plan = manifest.plan(&assumed(&arguments.region)).map_err(refused)?;
        if plan.most_tasks > MOST_TASKS {
            return Err(refused(format!(
                "its highest rate needs {} tasks, and a run has at most {MOST_TASKS}; raise generator.ratePerTask",
                plan.most_tasks
            )));
        }
        let Some(prices) = list.of(&plan.region) else {
            return Err(CliError::Refused(format!(
                "the cost in {} is unknown: there are prices of {} only; give those of {} with --prices FILE",
                printable(&plan.region),
                list.regions.keys().map(|region| printable(region)).collect::<Vec<_>>().join(", "),
                printable(&plan.region),
            )));
        };
        let estimate = estimate_of(&plan, !arguments.no_public_ip, prices);
        let shown = Shown { name: &manifest.name, plan: &plan, prices, estimate: &estimate, arguments };
        let data = shown.data();
        let written =
            if is_single { document(&data, arguments.output) } else { item(&data, arguments.output) }?;
        texts.push(written.unwrap_or_else(|| shown.text()));
    }
    let between = if arguments.output == Output::Text { "\n" } else { "" };
    std::io::stdout().lock().write_all(texts.join(between).as_bytes())?;
    Ok(ExitStatus::Success)
}

/// What an operator fills in. Of these, only the Region has a price.
fn assumed(region: &str) -> Defaults {
    Defaults {
        region: region.to_owned(),
        image: Some("the operator's".into()),
        subnets: vec!["the operator's".into()],
        security_groups: Vec::new(),
    }
}

fn price_list(file: Option<&Path>) -> Result<PriceList, CliError> {
    match file {
        Some(path) => PriceList::with_file(path).map_err(|error| CliError::Refused(error.to_string())),
        None => Ok(built_in::price_list()),
    }
}

struct Shown<'a> {
    name: &'a str,
    plan: &'a Plan,
    prices: &'a Prices,
    estimate: &'a Estimate,
    arguments: &'a args::Estimate,
}

impl Shown<'_> {
    /// What the manifest leaves to the operator, as it was assumed.
    fn assumptions(&self) -> String {
        let addresses = if self.arguments.no_public_ip { "no public addresses" } else { "public addresses" };
        format!("Region {}; tasks with {addresses}", printable(&self.plan.region))
    }

    fn text(&self) -> String {
        let Estimate { bill, advantage_minimum, ways, .. } = self.estimate;
        let mut text = format!(
            "{} in {}, prices as of {}\n\n",
            printable(self.name),
            printable(&self.plan.region),
            printable(&self.prices.as_of)
        );
        let mut row = |title: &str, low: &str, expected: &str, high: &str| {
            let _ = writeln!(text, "{title:<32}{low:>10} {expected:>11} {high:>9}");
        };
        row("", "LOW", "EXPECTED", "HIGH");
        let mut components: Vec<Component> = [&bill.low, &bill.expected, &bill.high]
            .iter()
            .flat_map(|bill| &bill.0)
            .map(|item| item.component)
            .collect();
        components.sort_unstable();
        components.dedup();
        let mut line = |title: &str, of: &dyn Fn(&Bill) -> Usd| {
            let (low, high) = (of(&bill.low).down_to_cents(), of(&bill.high).up_to_cents());
            row(title, &low.to_string(), &of(&bill.expected).to_string(), &high.to_string());
        };
        for component in components {
            line(component.title(), &|bill| bill.cost_of(component));
        }
        line("together", &Bill::total);
        if let Some(minimum) = advantage_minimum {
            let _ = writeln!(
                text,
                "\nand On-demand Advantage: {minimum} for {ADVANTAGE_HOURS} hours at least, once per account and Region, used or not"
            );
        }
        text.push_str("\nThe same event in other ways of paying for the stream (expected, all included):\n");
        let cheapest = self.estimate.cheapest().map(|(payment, _)| payment);
        for (payment, cost) in ways {
            let note = match (*payment == self.estimate.payment, Some(*payment) == cheapest) {
                (true, true) => "  the manifest's, and the cheapest",
                (true, false) => "  the manifest's",
                (false, true) => "  the cheapest",
                (false, false) => "",
            };
            let _ = writeln!(text, "{:<42}{:>12}{note}", title(*payment), cost.to_string());
        }
        let _ = writeln!(text, "\nAssumed of the operator: {}", self.assumptions());
        let _ = writeln!(text, "Not included: {NOT_INCLUDED}");
        text
    }

    fn data(&self) -> Value {
        let Estimate { payment, bill, advantage_minimum, ways } = self.estimate;
        let of = |bill: &Bill| {
            let items: Vec<Value> = (bill.0.iter())
                .map(|item| {
                    json!({
                        "component": item.component,
                        "quantity": item.quantity.round_dp(6).normalize().to_string(),
                        "unit": item.unit,
                        "usd": item.cost,
                    })
                })
                .collect();
            json!({"usd": bill.total(), "items": items})
        };
        let ways: Vec<Value> =
            ways.iter().map(|(payment, usd)| json!({"payment": title(*payment), "usd": usd})).collect();
        json!({
            "name": self.name,
            "region": self.plan.region,
            "pricesAsOf": self.prices.as_of,
            "pricesSource": self.prices.source,
            "payment": title(*payment),
            "low": of(&bill.low),
            "expected": of(&bill.expected),
            "high": of(&bill.high),
            "advantageMinimumUsd": advantage_minimum,
            "ways": ways,
            "assumed": self.assumptions(),
            "notIncluded": NOT_INCLUDED,
        })
    }
}

fn title(payment: Payment) -> String {
    match payment {
        Payment::Standard => "On-demand Standard".to_owned(),
        Payment::Advantage => format!("On-demand Advantage, {ADVANTAGE_HOURS} hours"),
        Payment::Provisioned { shards } => format!("Provisioned for the peak, {shards} shards"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::manifest;

    fn arguments() -> args::Estimate {
        args::Estimate {
            file: "viral-event.yaml".into(),
            region: "us-east-1".into(),
            prices: None,
            no_public_ip: false,
            output: Output::Text,
        }
    }

    /// What is printed for the default event, as text and as data.
    fn shown(arguments: &args::Estimate) -> (String, Value) {
        let manifest = manifest(include_str!("../../../examples/viral-event.yaml")).unwrap();
        let plan = manifest.plan(&assumed(&arguments.region)).unwrap();
        let list = price_list(None).unwrap();
        let prices = list.of(&plan.region).unwrap();
        let estimate = estimate_of(&plan, !arguments.no_public_ip, prices);
        let shown = Shown { name: &manifest.name, plan: &plan, prices, estimate: &estimate, arguments };
        (shown.text(), shown.data())
    }

    #[test]
    fn the_tutorial_has_what_is_printed() {
        let (text, _) = shown(&arguments());
        let tutorial = include_str!("../../../docs/tutorial-aws.md");
        assert!(tutorial.contains(&text), "docs/tutorial-aws.md lacks:\n{text}");
    }

    #[test]
    fn amounts_are_decimal_text() {
        let (_, data) = shown(&arguments());
        assert_eq!(
            data["expected"]["items"][0],
            json!({
                "component": "StreamHours", "quantity": "1", "unit": "hours", "usd": "0.04",
            })
        );
        assert_eq!(data["ways"][1], json!({"payment": "On-demand Advantage, 24 hours", "usd": "101.284164"}));
        assert_eq!(data["advantageMinimumUsd"], Value::Null);
    }

    #[test]
    fn the_cost_in_an_unknown_region_is_unknown() {
        let manifest = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(manifest.path(), include_str!("../../../examples/viral-event.yaml")).unwrap();
        let file = manifest.path().to_path_buf();
        let unknown = args::Estimate { file, region: "mars-north-1".into(), ..arguments() };
        assert_eq!(
            estimate(&unknown).unwrap_err().to_string(),
            "the cost in mars-north-1 is unknown: there are prices of us-east-1 only; give those of mars-north-1 with --prices FILE"
        );
    }
}
