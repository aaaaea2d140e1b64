//! The choice of the provider that runs a network inside ONNX Runtime, and of its precision.
//!
//! A [`Provider`] is a set of kernels that the loaded library may have. Every library has `cpu`. [`Precision`] says
//! whether the provider computes with the graph's numbers or may use shorter ones. No choice is replaced without a
//! message: if the library, the processor or the provider does not have it, this is a [`ProviderError`]. [`Execution`]
//! says what runs.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use super::processor::Processor;

/// Kernels that run a network. The names are those of the option `provider`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Provider {
    /// ONNX Runtime's own kernels for the processor. Every library has them.
    #[default]
    Cpu,
    /// Arm Compute Library.
    Acl,
    /// Apple's Core ML.
    CoreMl,
    /// NVIDIA's CUDA and cuDNN.
    Cuda,
    /// Intel's OpenVINO, which also runs on AMD's processors.
    OpenVino,
    /// Qualcomm's AI Engine Direct.
    Qnn,
    /// NVIDIA's TensorRT.
    TensorRt,
    /// XNNPACK.
    Xnnpack,
}

impl Provider {
    /// All providers, the default one first.
    pub const ALL: &'static [Self] = &[
        Self::Cpu,
        Self::Acl,
        Self::CoreMl,
        Self::Cuda,
        Self::OpenVino,
        Self::Qnn,
        Self::TensorRt,
        Self::Xnnpack,
    ];

    /// The names of [`Self::ALL`], in the same order.
    pub const NAMES: &'static [&'static str] = &[
        "cpu", "acl", "coreml", "cuda", "openvino", "qnn", "tensorrt", "xnnpack",
    ];

    /// Its name in options.
    pub const fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }

    /// How to get a library with this provider.
    pub(super) const fn advice(self) -> &'static str {
        match self {
            Self::Cpu => "`make onnxruntime` fetches a library",
            Self::OpenVino => {
                "`make onnxruntime PROVIDER=openvino` fetches a library that has it; \
                 `pip install onnxruntime-openvino` holds one too"
            }
            Self::CoreMl => "the package onnxruntime for macOS has it, no other package does",
            Self::Cuda | Self::TensorRt => {
                "the package onnxruntime-gpu has it; name its libonnxruntime.so by ORT_DYLIB_PATH"
            }
            Self::Qnn => "the package onnxruntime-qnn has it; name its library by ORT_DYLIB_PATH",
            Self::Acl => {
                "no package has it: build ONNX Runtime with --use_acl and name the library by ORT_DYLIB_PATH"
            }
            Self::Xnnpack => {
                "no package for PCs has it: build ONNX Runtime with --use_xnnpack and name the library by ORT_DYLIB_PATH"
            }
        }
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for Provider {
    type Err = ProviderError;

    fn from_str(name: &str) -> Result<Self, ProviderError> {
        let known = Self::ALL.iter().find(|provider| provider.name() == name);
        known.copied().ok_or_else(|| ProviderError::Name {
            option: "provider",
            got: name.to_owned(),
            expected: Self::NAMES.join(", "),
        })
    }
}

/// How exactly a provider computes. The names are those of the option `precision`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Precision {
    /// With the numbers of the graph: single precision, and eight bits if the graph has them.
    #[default]
    Exact,
    /// With half precision, bf16 or tf32, whichever the provider and the processor have. Maps and boxes change a little.
    Fast,
}

impl Precision {
    /// The names of both precisions, the default one first.
    pub const NAMES: &'static [&'static str] = &["exact", "fast"];

    /// Its name in options.
    pub const fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for Precision {
    type Err = ProviderError;

    fn from_str(name: &str) -> Result<Self, ProviderError> {
        match name {
            "exact" => Ok(Self::Exact),
            "fast" => Ok(Self::Fast),
            _ => Err(ProviderError::Name {
                option: "precision",
                got: name.to_owned(),
                expected: Self::NAMES.join(" or "),
            }),
        }
    }
}

/// The numbers with which a provider multiplies the graph's single precision numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Numbers {
    /// Single precision, 24 significant bits.
    F32,
    /// NVIDIA's tf32, 11 significant bits.
    Tf32,
    /// Half precision, 11 significant bits.
    F16,
    /// bfloat16, 8 significant bits.
    Bf16,
}

impl Numbers {
    /// Its short name, such as `bf16`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Tf32 => "tf32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
        }
    }
}

/// A graph that the provider runs only in part. ONNX Runtime runs the other nodes on `cpu`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Partly {
    /// Name of the ONNX file.
    pub file: String,
    /// Nodes that the provider runs. It may have merged several of the file's nodes into one.
    pub on_provider: usize,
    /// Nodes that `cpu` runs.
    pub on_cpu: usize,
}

/// The provider and the precision that run a model.
///
/// As text: `openvino, fast (bf16)`. If the provider does not run a whole graph, `; cpu runs 3 of 40 nodes of track.onnx`
/// follows.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Execution {
    /// The provider.
    pub provider: Provider,
    /// The chosen precision.
    pub precision: Precision,
    /// The numbers that this precision means with this provider on this processor.
    pub numbers: Numbers,
    /// Graphs that the provider runs only in part.
    pub partly: Vec<Partly>,
}

impl fmt::Display for Execution {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            provider,
            precision,
            numbers,
            partly,
        } = self;
        write!(formatter, "{provider}, {precision} ({})", numbers.name())?;
        for Partly {
            file,
            on_provider,
            on_cpu,
        } in partly
        {
            let nodes = on_provider + on_cpu;
            write!(formatter, "; cpu runs {on_cpu} of {nodes} nodes of {file}")?;
        }
        Ok(())
    }
}

/// The reason why a provider cannot run a model with these options.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProviderError {
    /// A name that is not in the list.
    #[error("{option} is {got:?}, expected {expected}")]
    Name {
        /// `provider` or `precision`.
        option: &'static str,
        /// The given name.
        got: String,
        /// The accepted names.
        expected: String,
    },
    /// The loaded library does not have the provider.
    #[error(
        "ONNX Runtime {version} at {library} does not have the provider {provider}, it has {there}; {}",
        .provider.advice()
    )]
    Missing {
        /// What was asked for.
        provider: Provider,
        /// The library.
        library: PathBuf,
        /// Its version.
        version: String,
        /// The library's providers.
        there: String,
    },
    /// A file that the provider needs is missing or damaged.
    #[error(
        "provider {provider} of ONNX Runtime {version} at {library} is incomplete: {reason} ({})",
        .provider.advice()
    )]
    Incomplete {
        /// The provider.
        provider: Provider,
        /// The library.
        library: PathBuf,
        /// Its version.
        version: String,
        /// The file and its fault.
        reason: String,
    },
    /// The provider does not have the precision on this processor.
    #[error("provider {provider} has no precision {precision} here: {reason}")]
    Precision {
        /// The provider.
        provider: Provider,
        /// What was asked for.
        precision: Precision,
        /// What the precision needs, and what this processor has.
        reason: String,
    },
    /// An option that the provider does not know, or that another setting decides.
    #[error("provider_options: {key:?} for provider {provider}: {reason}")]
    Option {
        /// The provider.
        provider: Provider,
        /// The option's name.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The provider cannot start, or it refuses a graph.
    #[error(
        "provider {provider} of ONNX Runtime {version} at {library} cannot run {path}: {reason} ({})",
        .provider.advice()
    )]
    Refused {
        /// The provider.
        provider: Provider,
        /// The library.
        library: PathBuf,
        /// Its version.
        version: String,
        /// The ONNX file.
        path: PathBuf,
        /// Messages of ONNX Runtime and the provider.
        reason: String,
    },
}

/// Reads one `KEY=VALUE` of the option `provider_options`.
///
/// # Errors
/// [`ProviderError::Name`] if the text has no `=` or an empty key.
pub fn parse_option(text: &str) -> Result<(String, String), ProviderError> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => {
            Ok((key.trim().to_owned(), value.trim().to_owned()))
        }
        _ => Err(ProviderError::Name {
            option: "provider_options",
            got: text.to_owned(),
            expected: "KEY=VALUE, such as device_type=GPU".to_owned(),
        }),
    }
}

/// Returns the numbers that `precision` means with `provider` on `processor`. `device` is OpenVINO's option
/// `device_type`.
pub(super) fn numbers(
    provider: Provider,
    precision: Precision,
    device: &str,
    processor: &Processor,
) -> Result<Numbers, ProviderError> {
    let refuse = |reason: String| {
        Err(ProviderError::Precision {
            provider,
            precision,
            reason,
        })
    };
    let lacks = |needs: &str| refuse(format!("it needs {needs}; this one is {processor}"));
    match (provider, precision) {
        (Provider::OpenVino, Precision::Exact) if device.starts_with("NPU") => refuse(
            "OpenVINO's NPU computes in half precision only; expected fast for this device"
                .to_owned(),
        ),
        (_, Precision::Exact) => Ok(Numbers::F32),
        (Provider::Cpu, Precision::Fast) => {
            if processor.is_arm && processor.bf16 && cfg!(target_os = "linux") {
                Ok(Numbers::Bf16)
            } else {
                lacks("a 64-bit ARM processor with bf16 instructions, under Linux")
            }
        }
        (Provider::OpenVino, Precision::Fast) if device != "CPU" => Ok(Numbers::F16),
        (Provider::OpenVino, Precision::Fast) => match processor {
            // On ARM, OpenVINO's kernels have half precision. On x86, more kernels have bf16.
            Processor {
                is_arm: true, f16, ..
            } if *f16 => Ok(Numbers::F16),
            Processor {
                is_arm: false,
                bf16,
                ..
            } if *bf16 => Ok(Numbers::Bf16),
            Processor {
                is_arm: false, f16, ..
            } if *f16 => Ok(Numbers::F16),
            _ => lacks(
                "a processor with AVX512_BF16, AMX or AVX512_FP16, or a 64-bit ARM one with half precision (fphp)",
            ),
        },
        (Provider::Acl, Precision::Fast) => {
            if processor.is_arm && processor.bf16 {
                Ok(Numbers::Bf16)
            } else {
                lacks("a 64-bit ARM processor with bf16 instructions")
            }
        }
        (Provider::CoreMl | Provider::Qnn | Provider::TensorRt, Precision::Fast) => {
            Ok(Numbers::F16)
        }
        (Provider::Cuda, Precision::Fast) => Ok(Numbers::Tf32),
        (Provider::Xnnpack, Precision::Fast) => {
            refuse("its kernels compute in single precision; expected exact".to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Processor = Processor {
        is_arm: false,
        bf16: false,
        f16: false,
    };
    const EPYC: Processor = Processor {
        bf16: true,
        ..PLAIN
    };
    const A76: Processor = Processor {
        is_arm: true,
        bf16: false,
        f16: true,
    };

    #[test]
    fn names_are_read_back_and_others_are_refused_with_the_list() {
        for (provider, name) in Provider::ALL.iter().zip(Provider::NAMES) {
            assert_eq!(provider.to_string(), *name);
            assert_eq!(name.parse::<Provider>().unwrap(), *provider);
        }
        for name in Precision::NAMES {
            assert_eq!(name.parse::<Precision>().unwrap().name(), *name);
        }
        let error = "gpu".parse::<Provider>().unwrap_err().to_string();
        assert!(
            error.contains("provider is \"gpu\", expected cpu, acl,"),
            "{error}"
        );
        let error = "half".parse::<Precision>().unwrap_err().to_string();
        assert_eq!(error, "precision is \"half\", expected exact or fast");
    }

    #[test]
    fn options_are_pairs_and_others_are_refused() {
        assert_eq!(
            parse_option("device_type = GPU.1").unwrap(),
            ("device_type".to_owned(), "GPU.1".to_owned())
        );
        // A value may contain `=`.
        assert_eq!(parse_option("a=b=c").unwrap().1, "b=c");
        for text in ["device_type", "=GPU", ""] {
            let error = parse_option(text).unwrap_err().to_string();
            assert!(error.contains("expected KEY=VALUE"), "{error}");
        }
    }

    #[test]
    fn fast_takes_the_numbers_that_the_processor_has() {
        let openvino = |device, processor| {
            numbers(Provider::OpenVino, Precision::Fast, device, processor).ok()
        };
        assert_eq!(openvino("CPU", &EPYC), Some(Numbers::Bf16));
        assert_eq!(openvino("CPU", &A76), Some(Numbers::F16));
        assert_eq!(openvino("CPU", &PLAIN), None);
        assert_eq!(openvino("GPU.0", &PLAIN), Some(Numbers::F16));
        let exact = numbers(Provider::OpenVino, Precision::Exact, "CPU", &EPYC);
        assert_eq!(exact.unwrap(), Numbers::F32);
        assert!(numbers(Provider::OpenVino, Precision::Exact, "NPU", &EPYC).is_err());
    }

    #[test]
    fn a_precision_that_is_not_there_is_refused_with_what_it_needs() {
        for (provider, processor, words) in [
            (Provider::Cpu, EPYC, "64-bit ARM processor with bf16"),
            (Provider::Cpu, A76, "64-bit ARM processor with bf16"),
            (Provider::OpenVino, PLAIN, "AVX512_BF16"),
            (Provider::Acl, A76, "bf16 instructions"),
            (Provider::Xnnpack, EPYC, "expected exact"),
        ] {
            let error = numbers(provider, Precision::Fast, "CPU", &processor).unwrap_err();
            let error = error.to_string();
            let start = format!("provider {provider} has no precision fast here: ");
            assert!(
                error.starts_with(&start) && error.contains(words),
                "{error}"
            );
        }
    }

    #[test]
    fn what_runs_is_said_in_words() {
        let mut execution = Execution {
            provider: Provider::OpenVino,
            precision: Precision::Fast,
            numbers: Numbers::Bf16,
            partly: Vec::new(),
        };
        assert_eq!(execution.to_string(), "openvino, fast (bf16)");
        execution.partly.push(Partly {
            file: "track.onnx".to_owned(),
            on_provider: 37,
            on_cpu: 3,
        });
        assert_eq!(
            execution.to_string(),
            "openvino, fast (bf16); cpu runs 3 of 40 nodes of track.onnx"
        );
    }
}
