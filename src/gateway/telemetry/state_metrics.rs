//! Metrics of the gateway's state, as it was found last: they are replaced as a whole, so that what is gone has no metric any more.

use std::sync::{PoisonError, RwLock};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

/// The values of one metric.
#[derive(Clone, Debug, PartialEq)]
pub struct StateMetric {
    name: &'static str,
    help: &'static str,
    unit: Option<Unit>,
    is_counter: bool,
    values: Vec<(Vec<(&'static str, String)>, f64)>,
}

impl StateMetric {
    /// A number that goes up and down.
    pub fn gauge(name: &'static str, help: &'static str) -> Self {
        Self { name, help, unit: None, is_counter: false, values: Vec::new() }
    }

    /// A number that only grows.
    pub fn counter(name: &'static str, help: &'static str) -> Self {
        Self { is_counter: true, ..Self::gauge(name, help) }
    }

    /// In that unit, which is appended to the name.
    pub fn unit(self, unit: Unit) -> Self {
        Self { unit: Some(unit), ..self }
    }

    /// With that value; without one there is no metric.
    pub fn value(self, value: impl Into<Option<f64>>) -> Self {
        self.labelled([], value)
    }

    /// With that value for these labels.
    pub fn labelled<const N: usize>(
        mut self,
        labels: [(&'static str, &str); N],
        value: impl Into<Option<f64>>,
    ) -> Self {
        let labels = labels.map(|(name, value)| (name, value.to_owned())).to_vec();
        self.values.extend(value.into().map(|value| (labels, value)));
        self
    }

    /// Writes it.
    pub fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> std::fmt::Result {
        if self.values.is_empty() {
            return Ok(());
        }
        let kind = if self.is_counter { MetricType::Counter } else { MetricType::Gauge };
        // As the library ends those of the metrics that it registers.
        let help = format!("{}.", self.help);
        let mut metric = encoder.encode_descriptor(self.name, &help, self.unit.as_ref(), kind)?;
        for (labels, value) in &self.values {
            let encoder = metric.encode_family(labels)?;
            match self.is_counter {
                true => ConstCounter::new(*value).encode(encoder)?,
                false => ConstGauge::new(*value).encode(encoder)?,
            }
        }
        Ok(())
    }
}

/// See the module.
#[derive(Debug, Default)]
pub struct StateMetrics(RwLock<Vec<StateMetric>>);

impl StateMetrics {
    /// Replaces all of them.
    pub fn set(&self, all: Vec<StateMetric>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = all;
    }
}

impl Collector for StateMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> std::fmt::Result {
        self.0.read().unwrap_or_else(PoisonError::into_inner).iter().try_for_each(|metric| metric.encode(&mut encoder))
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::{prometheus_text, text};
    use prometheus_client::registry::Registry;

    use super::*;

    #[test]
    fn quotes_backslashes_and_line_breaks_of_labels_are_escaped_in_both_formats() {
        let all = StateMetrics::default();
        let lag = StateMetric::gauge("lag", "The lag").labelled([("sink", "a\"b\\c\nlag 7")], 1.0);
        all.set(vec![lag, StateMetric::counter("lines", "The lines").value(2.0)]);
        let mut registry = Registry::default();
        registry.register_collector(Box::new(std::sync::Arc::new(all)));
        let (mut open, mut plain) = (String::new(), String::new());
        text::encode(&mut open, &registry).unwrap();
        prometheus_text::encode(&mut plain, &registry).unwrap();
        let sample = r#"lag{sink="a\"b\\c\nlag 7"} 1.0"#;
        for (encoded, lines) in [(&open, 7), (&plain, 6)] {
            assert!(encoded.lines().any(|line| line == sample), "{encoded}");
            assert!(encoded.contains("\nlines_total 2"), "{encoded}");
            assert_eq!(encoded.lines().count(), lines, "{encoded}");
        }
    }

    #[test]
    fn a_metric_without_a_value_is_left_out() {
        let all = StateMetrics::default();
        all.set(vec![StateMetric::gauge("nothing", "Nothing").value(None)]);
        let mut registry = Registry::default();
        registry.register_collector(Box::new(std::sync::Arc::new(all)));
        let mut encoded = String::new();
        text::encode(&mut encoded, &registry).unwrap();
        assert_eq!(encoded, "# EOF\n");
    }
}
