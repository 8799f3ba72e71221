//! The formats of `/metrics`. In: a scraper's `Accept` header and the OpenMetrics text. Out: the
//! format to use, and the text in Prometheus' older format.

/// A format of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exposition {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// Prometheus' text format 0.0.4, which every scraper reads.
    Text,
}

impl Exposition {
    /// Selects the format for `accept`: OpenMetrics only if it is named with at least the quality
    /// of `text/plain`.
    pub fn accepted(accept: &str) -> Self {
        let quality_of = |wanted: &str| {
            let ranges = accept.split(',').filter_map(|range| {
                let mut parts = range.split(';').map(str::trim);
                let is_wanted = parts.next()?.eq_ignore_ascii_case(wanted);
                let quality = parts.find_map(|part| part.strip_prefix("q=")?.trim().parse::<f32>().ok());
                is_wanted.then_some(quality.unwrap_or(1.0))
            });
            ranges.fold(0.0_f32, f32::max)
        };
        let open_metrics = quality_of("application/openmetrics-text");
        match open_metrics > 0.0 && open_metrics >= quality_of("text/plain") {
            true => Self::OpenMetrics,
            false => Self::Text,
        }
    }

    /// The media type of the format.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
        }
    }

    /// Converts OpenMetrics text to this format.
    pub fn of(self, open_metrics: String) -> String {
        match self {
            Self::OpenMetrics => open_metrics,
            Self::Text => to_text(&open_metrics),
        }
    }
}

/// Converts OpenMetrics to the older format. OpenMetrics names a counter's family without `_total`,
/// the older format with it. The older format has neither units nor an end mark (Prometheus
/// documentation, "Exposition formats").
fn to_text(open_metrics: &str) -> String {
    let counters: Vec<&str> = open_metrics
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" counter"))
        .collect();
    let mut text = String::with_capacity(open_metrics.len());
    for line in open_metrics.lines() {
        if line == "# EOF" || line.starts_with("# UNIT ") {
            continue;
        }
        let about = ["# HELP ", "# TYPE "].into_iter().find(|about| line.starts_with(about));
        let family = about.and_then(|about| Some((about, line.strip_prefix(about)?.split_once(' ')?)));
        match family {
            Some((about, (name, rest))) if counters.contains(&name) => {
                text.push_str(&format!("{about}{name}_total {rest}"));
            }
            _ => text.push_str(line),
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_metrics_is_used_if_accepted_with_equal_quality() {
        let prometheus = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        let protobuf = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.3";
        for accept in
            [prometheus, protobuf, "application/openmetrics-text", "Application/OpenMetrics-Text; q=1"]
        {
            assert_eq!(Exposition::accepted(accept), Exposition::OpenMetrics, "{accept}");
        }
        let text_first = "application/openmetrics-text;q=0.3, text/plain;version=0.0.4;q=0.5";
        for accept in
            ["", "*/*", "text/plain", "text/html,*/*", "application/openmetrics-text;q=0", text_first]
        {
            assert_eq!(Exposition::accepted(accept), Exposition::Text, "{accept}");
        }
    }

    #[test]
    fn the_older_format_names_counter_families_with_total() {
        let open_metrics = "# HELP calls Calls.\n# TYPE calls counter\ncalls_total{a=\"# EOF\"} 1\n# HELP took_seconds Time.\n# TYPE took_seconds histogram\n# UNIT took_seconds seconds\ntook_seconds_sum 0.5\n# EOF\n";
        assert_eq!(
            Exposition::Text.of(open_metrics.into()),
            "# HELP calls_total Calls.\n# TYPE calls_total counter\ncalls_total{a=\"# EOF\"} 1\n# HELP took_seconds Time.\n# TYPE took_seconds histogram\ntook_seconds_sum 0.5\n"
        );
    }
}
