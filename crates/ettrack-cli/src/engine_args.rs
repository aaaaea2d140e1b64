//! The arguments that choose the library, the provider in it, and its precision.

use std::path::PathBuf;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use ettrack::model::provider::{Precision, Provider, parse_option};
use ettrack::{TrackerOptions, error_chain};
use ettrack_node::parameters::Parameters;

/// The library, the provider and the precision that run the network.
#[derive(Debug, Clone, Args)]
pub struct EngineArgs {
    /// The ONNX Runtime library or its folder.
    #[arg(long, value_name = "PATH")]
    pub onnxruntime: Option<PathBuf>,
    /// The provider that runs the network inside ONNX Runtime; cpu if not given. The library must have it.
    #[arg(long, value_name = "NAME", value_parser = provider_parser())]
    pub provider: Option<Provider>,
    /// How exactly the provider computes; exact if not given. With fast it uses half precision, bf16 or tf32, whichever
    /// provider and processor have.
    #[arg(long, value_name = "NAME", value_parser = precision_parser())]
    pub precision: Option<Precision>,
    /// A further option of the provider under its own name, such as device_type=GPU. May be repeated.
    #[arg(long = "provider-option", value_name = "KEY=VALUE", value_parser = option_parser)]
    pub provider_options: Vec<(String, String)>,
}

/// Reads one of the providers' names.
pub fn provider_parser() -> impl clap::builder::TypedValueParser<Value = Provider> {
    PossibleValuesParser::new(Provider::NAMES).try_map(|name| name.parse::<Provider>())
}

/// Reads one of the precisions' names.
pub fn precision_parser() -> impl clap::builder::TypedValueParser<Value = Precision> {
    PossibleValuesParser::new(Precision::NAMES).try_map(|name| name.parse::<Precision>())
}

fn option_parser(text: &str) -> Result<(String, String), String> {
    parse_option(text).map_err(|error| error_chain(&error))
}

impl EngineArgs {
    /// Returns `options` with the values of these arguments.
    #[must_use]
    pub fn apply(&self, options: TrackerOptions) -> TrackerOptions {
        options
            .with_library(self.onnxruntime.clone())
            .with_provider(self.provider.unwrap_or_default())
            .with_precision(self.precision.unwrap_or_default())
            .with_provider_options(self.provider_options.clone())
    }

    /// Replaces the node's parameters by the given arguments.
    pub fn apply_to(&self, parameters: &mut Parameters) {
        if let Some(library) = &self.onnxruntime {
            parameters.onnxruntime_library = library.to_string_lossy().into_owned();
        }
        if let Some(provider) = self.provider {
            parameters.provider = provider.to_string();
        }
        if let Some(precision) = self.precision {
            parameters.precision = precision.to_string();
        }
        if !self.provider_options.is_empty() {
            parameters.provider_options = self.written_options().join(" ");
        }
    }

    /// Returns the options as `KEY=VALUE`.
    pub fn written_options(&self) -> Vec<String> {
        let pairs = self.provider_options.iter();
        pairs.map(|(key, value)| format!("{key}={value}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Program {
        #[command(flatten)]
        engine: EngineArgs,
    }

    #[test]
    fn arguments_that_are_not_given_change_no_parameter() {
        let mut parameters = Parameters {
            provider: "openvino".to_owned(),
            ..Parameters::default()
        };
        let before = parameters.clone();
        Program::parse_from(["x"]).engine.apply_to(&mut parameters);
        assert_eq!(parameters, before);
        let given = [
            "x",
            "--precision",
            "fast",
            "--provider-option",
            "device_type=GPU",
        ];
        Program::parse_from(given).engine.apply_to(&mut parameters);
        assert_eq!(parameters.provider, "openvino");
        assert_eq!(parameters.precision, "fast");
        assert_eq!(parameters.provider_options, "device_type=GPU");
    }

    #[test]
    fn unknown_names_are_refused_with_the_list() {
        for (given, word) in [
            (["x", "--provider", "gpu"], "openvino"),
            (["x", "--precision", "half"], "fast"),
            (["x", "--provider-option", "GPU"], "KEY=VALUE"),
        ] {
            let error = Program::try_parse_from(given).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
    }
}
