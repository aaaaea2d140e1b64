//! Opening a graph in ONNX Runtime with the chosen provider.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use ort::ep::{
    self, ArbitrarilyConfigurableExecutionProvider as _, ExecutionProvider as _,
    ExecutionProviderDispatch,
};
use ort::logging::LogLevel;
use ort::session::Session;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};

use super::plug_ins;
use super::processor::Processor;
use super::provider::{self, Execution, Numbers, Partly, Provider, ProviderError};
use super::runtime::Runtime;
use super::{ModelError, NetworkOptions};

/// The symbolic axis of `track.onnx`. It gets the length of the search size.
const SEARCH_AXIS: &str = "search_size";

/// Part of ONNX Runtime's message if `with_disable_cpu_fallback` refuses a session.
const FALLBACK_REFUSED: &str = "fallback to CPU EP has been explicitly disabled";

/// Makes MLAS multiply matrices in bf16 on ARM.
const FAST_MATRICES: (&str, &str) = ("mlas.enable_gemm_fastmath_arm64_bfloat16", "1");

/// QNN's options. They are checked here, because QNN ignores unknown names.
const QNN_OPTIONS: &[&str] = &[
    "backend_path",
    "backend_type",
    "device_id",
    "enable_htp_weight_sharing",
    "htp_arch",
    "htp_graph_finalization_optimization_mode",
    "htp_performance_mode",
    "offload_graph_io_quantization",
    "profiling_file_path",
    "profiling_level",
    "qnn_context_priority",
    "qnn_saver_path",
    "rpc_control_latency",
    "soc_model",
    "vtcm_mb",
];

/// How the sessions of a network are opened.
pub(super) struct Plan<'a> {
    runtime: &'a Runtime,
    options: &'a NetworkOptions,
    numbers: Numbers,
    /// `None` for ONNX Runtime's own kernels, because they need no registration.
    dispatch: Option<ExecutionProviderDispatch>,
}

/// A session, and the part of its graph that the provider does not run.
pub(super) struct Opened {
    pub session: Session,
    pub partly: Option<Partly>,
}

impl<'a> Plan<'a> {
    /// Checks that library, processor and provider have what the options ask for.
    pub fn new(runtime: &'a Runtime, options: &'a NetworkOptions) -> Result<Self, ProviderError> {
        let provider = options.provider;
        let there = available();
        if !there.contains(&provider) {
            let there: Vec<&str> = there.iter().map(|provider| provider.name()).collect();
            return Err(ProviderError::Missing {
                provider,
                library: runtime.library.clone(),
                version: runtime.version.clone(),
                there: there.join(", "),
            });
        }
        let given = |key: &str| {
            let pairs = options.provider_options.iter();
            pairs
                .rev()
                .find(|(known, _)| known == key)
                .map(|(_, value)| value.as_str())
        };
        let device = given("device_type").unwrap_or("CPU");
        let processor = Processor::here();
        let numbers = provider::numbers(provider, options.precision, device, &processor)?;
        check_options(options)?;
        if let Some(reason) = plug_ins::fault(provider, device, &runtime.library) {
            return Err(ProviderError::Incomplete {
                provider,
                library: runtime.library.clone(),
                version: runtime.version.clone(),
                reason,
            });
        }
        Ok(Self {
            dispatch: dispatch(options, numbers, device),
            runtime,
            options,
            numbers,
        })
    }

    /// Describes what runs a network whose sessions were opened with this plan.
    pub fn execution(&self, partly: Vec<Partly>) -> Execution {
        Execution {
            provider: self.options.provider,
            precision: self.options.precision,
            numbers: self.numbers,
            partly,
        }
    }

    /// Opens the graph `bytes` of the file `path`.
    pub fn open(
        &self,
        path: &Path,
        bytes: &[u8],
        search_size: Option<usize>,
    ) -> Result<Opened, ModelError> {
        if self.dispatch.is_none() {
            let session = self
                .builder(search_size)
                .and_then(|mut builder| builder.commit_from_memory(bytes).map_err(said))
                .map_err(|reason| refused(path, bytes, reason))?;
            return Ok(Opened {
                session,
                partly: None,
            });
        }
        self.runtime.forget_messages();
        // First without ONNX Runtime's kernels. If the graph opens in this way, the provider runs all of it.
        let whole = self.builder(search_size).and_then(|builder| {
            let mut builder = builder.with_disable_cpu_fallback().map_err(said)?;
            builder.commit_from_memory(bytes).map_err(said)
        });
        match whole {
            Ok(session) => Ok(Opened {
                session,
                partly: None,
            }),
            Err(reason) if reason.contains(FALLBACK_REFUSED) => {
                self.open_partly(path, bytes, search_size)
            }
            Err(reason) => Err(self.provider_refused(path, bytes, reason)),
        }
    }

    /// Opens a graph that the provider runs only in part, and counts the nodes that `cpu` runs.
    fn open_partly(
        &self,
        path: &Path,
        bytes: &[u8],
        search_size: Option<usize>,
    ) -> Result<Opened, ModelError> {
        // The messages about the refused first attempt must not be reported.
        self.runtime.forget_messages();
        // ONNX Runtime reports the places of the nodes only in its log.
        let places = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&places);
        let session = self
            .builder(search_size)
            .and_then(|builder| {
                let logger = move |_: LogLevel, _: &str, _: &str, _: &str, message: &str| {
                    if let Some(place) = placement(message) {
                        kept.lock()
                            .unwrap_or_else(PoisonError::into_inner)
                            .push(place);
                    }
                };
                let builder = builder.with_logger(Arc::new(logger)).map_err(said)?;
                let mut builder = builder.with_log_level(LogLevel::Verbose).map_err(said)?;
                builder.commit_from_memory(bytes).map_err(said)
            })
            .map_err(|reason| self.provider_refused(path, bytes, reason))?;
        let places = places.lock().unwrap_or_else(PoisonError::into_inner);
        let cpu = ep::CPU::NAME;
        let count = |on_cpu: bool| -> usize {
            let there = places.iter().filter(|(name, _)| (name == cpu) == on_cpu);
            there.map(|(_, nodes)| nodes).sum()
        };
        let (on_provider, on_cpu) = (count(false), count(true));
        if on_provider == 0 {
            let reason = match on_cpu {
                0 => "ONNX Runtime does not say which nodes it runs".to_owned(),
                nodes => format!("it takes none of its {nodes} nodes"),
            };
            return Err(self.provider_refused(path, bytes, reason));
        }
        Ok(Opened {
            session,
            partly: Some(Partly {
                file: file_name(path),
                on_provider,
                on_cpu,
            }),
        })
    }

    fn builder(&self, search_size: Option<usize>) -> Result<SessionBuilder, String> {
        let mut builder = Session::builder(&self.runtime.environment)
            .map_err(said)?
            .with_optimization_level(GraphOptimizationLevel::All)
            .map_err(said)?
            .with_intra_threads(self.options.resolved_threads())
            .map_err(said)?
            // Idle threads sleep, because a robot uses its processors for other work between two frames.
            .with_intra_op_spinning(false)
            .map_err(said)?
            // The arena of the process; see `Runtime::load`.
            .with_env_allocators()
            .map_err(said)?
            .with_log_level(LogLevel::Error)
            .map_err(said)?;
        if let Some(size) = search_size {
            builder = builder
                .with_dimension_override(SEARCH_AXIS, size as i64)
                .map_err(said)?;
        }
        if let Some(dispatch) = &self.dispatch {
            builder = builder
                .with_execution_providers([dispatch.clone()])
                .map_err(said)?;
        } else if self.numbers == Numbers::Bf16 {
            let (key, value) = FAST_MATRICES;
            builder = builder.with_config_entry(key, value).map_err(said)?;
        }
        Ok(builder)
    }

    fn provider_refused(&self, path: &Path, bytes: &[u8], reason: String) -> ModelError {
        if has_external_data(bytes) {
            return refused(path, bytes, reason);
        }
        // If a provider cannot start, only the log contains the reason.
        let messages = self.runtime.messages();
        let mut reasons: Vec<&str> = messages.iter().map(|said| without_place(said)).collect();
        let reason = without_place(&reason);
        if !reasons.iter().any(|said| said.contains(reason)) {
            reasons.push(reason);
        }
        ModelError::Provider(ProviderError::Refused {
            provider: self.options.provider,
            library: self.runtime.library.clone(),
            version: self.runtime.version.clone(),
            path: path.to_path_buf(),
            reason: reasons.join("; "),
        })
    }
}

/// Returns the providers of the loaded library. A library that cannot list them has only its own kernels.
fn available() -> Vec<Provider> {
    let has = |provider: &Provider| match provider {
        Provider::Cpu => true,
        Provider::Acl => ep::ACL::is_available().unwrap_or(false),
        Provider::CoreMl => ep::CoreML::is_available().unwrap_or(false),
        Provider::Cuda => ep::CUDA::is_available().unwrap_or(false),
        Provider::OpenVino => ep::OpenVINO::is_available().unwrap_or(false),
        Provider::Qnn => ep::QNN::is_available().unwrap_or(false),
        Provider::TensorRt => ep::TensorRT::is_available().unwrap_or(false),
        Provider::Xnnpack => ep::XNNPACK::is_available().unwrap_or(false),
    };
    let all = Provider::ALL.iter().copied();
    all.filter(has).collect()
}

/// Refuses options that other settings decide, and options that the provider would ignore.
fn check_options(options: &NetworkOptions) -> Result<(), ProviderError> {
    let provider = options.provider;
    for (key, value) in &options.provider_options {
        let refuse = |reason: String| {
            Err(ProviderError::Option {
                provider,
                key: key.clone(),
                reason,
            })
        };
        if key.contains('\0') || value.contains('\0') {
            return refuse("expected text without the character NUL".to_owned());
        }
        let decided = |by: &str| refuse(format!("the setting `{by}` decides it"));
        match (provider, key.as_str()) {
            (Provider::Cpu | Provider::Acl | Provider::Xnnpack, _) => {
                return refuse("this provider has no options".to_owned());
            }
            (Provider::OpenVino, "num_of_threads") => return decided("threads"),
            (Provider::OpenVino, "load_config" | "precision")
            | (Provider::Cuda, "use_tf32")
            | (Provider::TensorRt, "trt_fp16_enable" | "trt_bf16_enable")
            | (Provider::Qnn, "enable_htp_fp16_precision")
            | (Provider::CoreMl, "MLComputeUnits" | "ModelFormat") => return decided("precision"),
            (Provider::OpenVino, "device_type") if !is_one_device(value) => {
                return refuse(format!(
                    "expected CPU, GPU, NPU, or one of several such as GPU.1, got {value}; with a choice of devices \
                     (AUTO, HETERO, MULTI), OpenVINO would not keep to precision and threads"
                ));
            }
            (Provider::Qnn, key) if !QNN_OPTIONS.contains(&key) => {
                return refuse(format!("expected one of {}", QNN_OPTIONS.join(", ")));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Whether OpenVINO's option `device_type` names one device. ONNX Runtime passes the precision only to a device that is named alone.
fn is_one_device(value: &str) -> bool {
    let (kind, number) = value.split_once('.').unwrap_or((value, "0"));
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    ["CPU", "GPU", "NPU"].contains(&kind) && is_number && (kind != "CPU" || number == "0")
}

/// Returns the registration of the provider for a session.
fn dispatch(
    options: &NetworkOptions,
    numbers: Numbers,
    device: &str,
) -> Option<ExecutionProviderDispatch> {
    fn with<P: ep::ArbitrarilyConfigurableExecutionProvider>(
        provider: P,
        options: &NetworkOptions,
    ) -> P {
        let pairs = options.provider_options.iter();
        pairs.fold(provider, |provider, (key, value)| {
            provider.with_arbitrary_config(key, value)
        })
    }
    let is_fast = numbers != Numbers::F32;
    let threads = options.resolved_threads();
    let dispatch: ExecutionProviderDispatch = match options.provider {
        Provider::Cpu => return None,
        Provider::Acl => ep::ACL::default().with_fast_math(is_fast).into(),
        Provider::CoreMl => {
            let units = if is_fast {
                ep::coreml::ComputeUnits::All
            } else {
                // Of Core ML's devices, only the processor computes in single precision.
                ep::coreml::ComputeUnits::CPUOnly
            };
            let coreml = ep::CoreML::default()
                .with_model_format(ep::coreml::ModelFormat::MLProgram)
                .with_compute_units(units);
            with(coreml, options).into()
        }
        Provider::Cuda => with(ep::CUDA::default().with_tf32(is_fast), options).into(),
        Provider::OpenVino => {
            // OpenVINO expects a device's properties under its name without the number.
            let kind = device.split('.').next().unwrap_or(device);
            let precision = numbers.name();
            let mut openvino = ep::OpenVINO::default().with_device_type("CPU");
            let mut properties = format!("\"INFERENCE_PRECISION_HINT\":\"{precision}\"");
            if kind == "CPU" {
                openvino = openvino.with_num_threads(threads);
                // If threads were bound to cores, those of two trackers would share one core while other cores do nothing.
                properties += ",\"ENABLE_CPU_PINNING\":\"NO\"";
            }
            let openvino = openvino
                .with_arbitrary_config("load_config", format!("{{\"{kind}\":{{{properties}}}}}"));
            with(openvino, options).into()
        }
        Provider::Qnn => with(ep::QNN::default().with_htp_fp16_precision(is_fast), options).into(),
        Provider::TensorRt => with(ep::TensorRT::default().with_fp16(is_fast), options).into(),
        Provider::Xnnpack => match std::num::NonZeroUsize::new(threads) {
            Some(threads) => ep::XNNPACK::default()
                .with_intra_op_num_threads(threads)
                .into(),
            None => ep::XNNPACK::default().into(),
        },
    };
    Some(dispatch.error_on_failure())
}

/// Reads provider and number of nodes from ONNX Runtime's message about the places of nodes.
fn placement(message: &str) -> Option<(String, usize)> {
    let (_, rest) = message.split_once("placed on [")?;
    let (provider, rest) = rest.split_once("]. Number of nodes: ")?;
    Some((provider.to_owned(), rest.trim().parse().ok()?))
}

/// Removes the place in ONNX Runtime's sources from the start of a message.
fn without_place(message: &str) -> &str {
    if !message.starts_with('/') {
        return message;
    }
    let ends = ["[ERROR] ", " : FAIL : ", "<lambda()> "];
    let rest = ends.iter().filter_map(|end| message.split_once(end));
    rest.map(|(_, rest)| rest)
        .min_by_key(|rest| rest.len())
        .unwrap_or(message)
}

fn said<R>(error: ort::Error<R>) -> String {
    error.message().to_owned()
}

fn refused(path: &Path, bytes: &[u8], reason: String) -> ModelError {
    ModelError::Onnx {
        doing: "cannot open",
        path: path.to_path_buf(),
        reason: if has_external_data(bytes) {
            "its weights lie in another file (external data), expected all of them in this one"
                .to_owned()
        } else {
            reason
        },
    }
}

fn file_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or(path.as_os_str());
    name.to_string_lossy().into_owned()
}

/// Returns whether an ONNX file has a tensor whose values are in another file: an entry whose key (field 1, length 8)
/// is `location`.
fn has_external_data(bytes: &[u8]) -> bool {
    const KEY: &[u8] = b"\x0a\x08location";
    bytes.windows(KEY.len()).any(|window| window == KEY)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(provider: Provider, key: &str, value: &str) -> NetworkOptions {
        NetworkOptions {
            provider,
            provider_options: vec![(key.to_owned(), value.to_owned())],
            ..NetworkOptions::default()
        }
    }

    #[test]
    fn options_that_do_nothing_or_are_decided_elsewhere_are_refused_by_name() {
        for (provider, key, value, words) in [
            (Provider::Cpu, "colour", "red", "has no options"),
            (
                Provider::Xnnpack,
                "intra_op_num_threads",
                "2",
                "has no options",
            ),
            (
                Provider::OpenVino,
                "num_of_threads",
                "2",
                "`threads` decides",
            ),
            (
                Provider::OpenVino,
                "load_config",
                "{}",
                "`precision` decides",
            ),
            (
                Provider::OpenVino,
                "device_type",
                "C\"",
                "expected CPU, GPU",
            ),
            (Provider::OpenVino, "device_type", "AUTO:CPU", "precision"),
            (
                Provider::OpenVino,
                "device_type",
                "CPU_FP32",
                "got CPU_FP32",
            ),
            (Provider::OpenVino, "device_type", "GPU.x", "got GPU.x"),
            (Provider::OpenVino, "cache_dir", "a\0b", "NUL"),
            (
                Provider::TensorRt,
                "trt_fp16_enable",
                "1",
                "`precision` decides",
            ),
            (
                Provider::Qnn,
                "colour",
                "red",
                "expected one of backend_path",
            ),
        ] {
            let error = check_options(&options(provider, key, value)).unwrap_err();
            let error = error.to_string();
            let start = format!("provider_options: {key:?} for provider {provider}: ");
            assert!(
                error.starts_with(&start) && error.contains(words),
                "{error}"
            );
        }
        for device in ["CPU", "GPU", "GPU.1", "NPU"] {
            check_options(&options(Provider::OpenVino, "device_type", device)).unwrap();
        }
        check_options(&options(Provider::Qnn, "backend_path", "libQnnHtp.so")).unwrap();
    }

    #[test]
    fn messages_are_given_without_the_place_in_the_sources() {
        for (message, rest) in [
            (
                "/a/b.cc:141 std::string ParseDeviceType(const Options&) [ERROR] [OpenVINO] Device GPU is not available",
                "[OpenVINO] Device GPU is not available",
            ),
            (
                "/a/b.cc:7 Provider& Get() [ONNXRuntimeError] : 1 : FAIL : Failed to load library /c.so",
                "Failed to load library /c.so",
            ),
            (
                "Failed to load provider OpenVINO",
                "Failed to load provider OpenVINO",
            ),
            ("/a/b.cc:9 another place", "/a/b.cc:9 another place"),
        ] {
            assert_eq!(without_place(message), rest);
        }
    }

    #[test]
    fn places_of_nodes_are_read_from_the_log_of_onnx_runtime() {
        let one = " All nodes placed on [CPUExecutionProvider]. Number of nodes: 238";
        assert_eq!(
            placement(one),
            Some(("CPUExecutionProvider".to_owned(), 238))
        );
        let several = " Node(s) placed on [XnnpackExecutionProvider]. Number of nodes: 7";
        assert_eq!(
            placement(several),
            Some(("XnnpackExecutionProvider".to_owned(), 7))
        );
        assert_eq!(placement("Node placements"), None);
    }
}
