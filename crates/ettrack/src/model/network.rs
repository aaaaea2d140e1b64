//! Running a model's graphs.
//!
//! All buffers are allocated when the model is opened, so a frame allocates nothing on this side of ONNX Runtime. Each
//! search size has its own session with fixed dimensions, so that ONNX Runtime plans its memory once.

use std::path::PathBuf;

use ort::logging::LogLevel;
use ort::session::{HasSelectedOutputs, OutputSelector, RunOptions, Session, SessionInputValue};
use ort::value::{Outlet, Tensor, TensorElementType, ValueType};

use super::provider::{Execution, Precision, Provider};
use super::runtime::Runtime;
use super::scales;
use super::session::Plan;
use super::{ModelError, ModelFolder};

/// More inputs or outputs would make `ort` allocate at each run.
const MOST_INPUTS: usize = 6;
const MOST_OUTPUTS: usize = 4;

/// How to run a network.
#[derive(Debug, Clone, Default)]
pub struct NetworkOptions {
    /// Threads within an operator; 0 takes the machine's processors, at most four, because more do not pay on
    /// networks of this size.
    pub threads: usize,
    /// The ONNX Runtime library or its folder, instead of the search order of [`super::runtime`].
    pub library: Option<PathBuf>,
    /// What runs the graphs.
    pub provider: Provider,
    /// How exactly it computes.
    pub precision: Precision,
    /// Further options of the provider, by its own names; the last of one name counts.
    pub provider_options: Vec<(String, String)>,
}

impl NetworkOptions {
    /// The number of threads that will be used.
    pub fn resolved_threads(&self) -> usize {
        match self.threads {
            0 => std::thread::available_parallelism()
                .map_or(1, usize::from)
                .min(4),
            threads => threads,
        }
    }
}

/// An output of the track graph that a family reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedOutput<'a> {
    /// Tensor name.
    pub name: &'a str,
    /// Its shape.
    pub shape: Vec<i64>,
}

/// A tensor that the template graph gave.
struct Made {
    name: String,
    shape: Vec<i64>,
    values: Vec<f32>,
}

/// The graphs of a model with their buffers.
pub struct Network {
    runtime: Runtime,
    execution: Execution,
    template: TemplateSide,
    stages: Vec<Stage>,
    stage: usize,
}

/// The tensors that describe the target.
#[derive(Debug)]
struct TemplateSide {
    /// The graph that makes them; without it the images themselves go to the track graph.
    graph: Option<(PathBuf, Session)>,
    /// The template images by the names of their inputs, and after them the other inputs that the model takes.
    given: Vec<(String, Tensor<f32>)>,
    /// How many of these are images.
    images: usize,
    /// Which of `given` is the target's box in each template image.
    targets: [Option<usize>; 2],
    /// Which of `given` are each template image's cells outside the frame.
    outside: [Option<usize>; 2],
    /// Inputs of the track graph by name. Empty without a graph: then `given` are the inputs.
    features: Vec<(String, Tensor<f32>)>,
}

/// The track graph at one search size.
struct Stage {
    path: PathBuf,
    session: Session,
    size: usize,
    image: Tensor<f32>,
    /// The cells of the search image outside the frame, by the name of their input.
    outside: Option<(String, Tensor<f32>)>,
    /// For each of the graph's inputs, in its order, which tensor it takes.
    inputs: Vec<Source>,
    /// Holds the tensors that the graph writes to.
    options: RunOptions<HasSelectedOutputs>,
    /// The outputs of the last run, in the order in which they were asked for.
    outputs: Vec<Vec<f32>>,
    shapes: Vec<Vec<i64>>,
}

#[derive(Debug, Clone, Copy)]
enum Source {
    Search,
    Outside,
    Given(usize),
    Feature(usize),
}

impl std::fmt::Debug for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Network")
            .field("runtime", &self.runtime)
            .field("execution", &self.execution)
            .field("template", &self.template)
            .field("search_size", &self.search_size())
            .finish_non_exhaustive()
    }
}

impl Network {
    /// Opens the graphs of `folder`, checks their files' checksums and their tensors' names, types and shapes, and
    /// runs each of them once. `outputs` gives the wanted outputs of the track graph for a search size.
    ///
    /// # Errors
    /// [`ModelError`], with the file, the tensor and both values.
    pub fn open<'a>(
        folder: &'a ModelFolder,
        options: &NetworkOptions,
        outputs: impl Fn(usize) -> Result<Vec<WantedOutput<'a>>, ModelError>,
    ) -> Result<Self, ModelError> {
        let runtime = Runtime::load(options.library.as_deref())?;
        let manifest = &folder.manifest;
        let plan = Plan::new(&runtime, options)?;
        let mut partly = Vec::new();
        let template_side = manifest.template.size;
        let settings = &manifest.template;
        let names = [Some(&settings.input), settings.refreshed_input.as_ref()];
        let names: Vec<String> = names.into_iter().flatten().cloned().collect();
        let mut given = names
            .iter()
            .map(|name| {
                let image = image_tensor(template_side, &folder.manifest_path())?;
                Ok((name.clone(), image))
            })
            .collect::<Result<Vec<_>, ModelError>>()?;
        let images = given.len();
        let mut further = |name: &Option<String>, shape: Vec<i64>| {
            let Some(name) = name else { return Ok(None) };
            given.push((name.clone(), zeros(shape, &folder.manifest_path())?));
            Ok::<_, ModelError>(Some(given.len() - 1))
        };
        let stride = manifest.search.stride;
        let targets = [
            further(&settings.box_input, vec![1, 4])?,
            further(&settings.refreshed_box_input, vec![1, 4])?,
        ];
        let cells = cells_shape(template_side / stride);
        let outside = [
            further(&settings.outside_input, cells.clone())?,
            further(&settings.refreshed_outside_input, cells)?,
        ];

        let mut features = Vec::new();
        let mut graph = None;
        if let Some(file) = &manifest.files.template {
            let (path, bytes) = folder.read("files.template.sha256", file)?;
            check_scales(&bytes, &path)?;
            let mut opened = plan.open(&path, &bytes, None)?;
            partly.extend(opened.partly.take());
            let mut session = opened.session;
            for (name, value) in &given {
                let input = find(session.inputs(), name, "input", &path)?;
                check_shape(input, &value.shape()[..], &path)?;
            }
            let names: Vec<String> = given.iter().map(|(name, _)| name.clone()).collect();
            only_inputs(&session, &names, &path)?;
            for name in &manifest.template.outputs {
                find(session.outputs(), name, "output", &path)?;
            }
            let made = run_template(&mut session, &given, &manifest.template.outputs, &path)?;
            for Made {
                name,
                shape,
                values,
            } in made
            {
                features.push((name, tensor(shape, values, &path)?));
            }
            graph = Some((path, session));
        }
        let template = TemplateSide {
            graph,
            given,
            images,
            targets,
            outside,
            features,
        };

        let (path, bytes) = folder.read("files.track.sha256", &manifest.files.track)?;
        check_scales(&bytes, &path)?;
        let mut stages = Vec::with_capacity(manifest.search.sizes.len());
        for &size in &manifest.search.sizes {
            let opened = plan.open(&path, &bytes, Some(size))?;
            // Each size of a graph is divided alike.
            if stages.is_empty() {
                partly.extend(opened.partly);
            }
            let outside = match &manifest.search.outside_input {
                Some(name) => Some((name.clone(), zeros(cells_shape(size / stride), &path)?)),
                None => None,
            };
            stages.push(Stage::new(
                &path,
                opened.session,
                size,
                &manifest.search.input,
                outside,
                &template,
                &outputs(size)?,
            )?);
        }
        let mut network = Self {
            execution: plan.execution(partly),
            runtime,
            template,
            stages,
            stage: 0,
        };
        // Some faults show only in a run. Better here than on the first frame.
        for stage in 0..network.stages.len() {
            network.stage = stage;
            network.run(|_| ())?;
        }
        network.stage = 0;
        Ok(network)
    }

    /// The ONNX Runtime that runs it.
    pub fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// What runs it, and in which numbers.
    pub fn execution(&self) -> &Execution {
        &self.execution
    }

    /// Chooses among the manifest's search sizes by index.
    ///
    /// # Panics
    /// Where the manifest has no such size.
    pub fn select_size(&mut self, index: usize) {
        assert!(
            index < self.stages.len(),
            "search size {index} of {}",
            self.stages.len()
        );
        self.stage = index;
    }

    /// Search pixels a side, as selected.
    pub fn search_size(&self) -> usize {
        self.stages[self.stage].size
    }

    /// Describes a new target: `fill` writes the template image (three planes), then the template graph runs. For models
    /// with one template image.
    ///
    /// # Errors
    /// [`ModelError::Onnx`].
    pub fn set_template(&mut self, fill: impl FnOnce(&mut [f32])) -> Result<(), ModelError> {
        self.fill_template(0, fill);
        self.run_template()
    }

    /// The number of template images: one, or two if the manifest has `template.refreshed_input`.
    pub fn template_images(&self) -> usize {
        self.template.images
    }

    /// Writes the target's box in template image `image`: left, top, right and bottom as shares of its side. It counts from
    /// the next [`Self::run_template`] on. For an image whose box the model does not take it does nothing.
    pub fn fill_template_box(&mut self, image: usize, target: [f32; 4]) {
        let TemplateSide { given, targets, .. } = &mut self.template;
        if let Some(&Some(place)) = targets.get(image) {
            given[place]
                .1
                .extract_tensor_mut()
                .1
                .copy_from_slice(&target);
        }
    }

    /// Writes the cells of template image `image` that lie outside the frame with `fill`: `n * n` numbers, row-major. They
    /// count from the next [`Self::run_template`] on. For an image whose cells the model does not take it does nothing.
    pub fn fill_template_outside(&mut self, image: usize, fill: impl FnOnce(&mut [f32])) {
        let TemplateSide { given, outside, .. } = &mut self.template;
        if let Some(&Some(place)) = outside.get(image) {
            fill(given[place].1.extract_tensor_mut().1);
        }
    }

    /// Writes template image `image` (three planes) with `fill`. It counts from the next [`Self::run_template`] on.
    ///
    /// # Panics
    /// Where there is no such image.
    pub fn fill_template(&mut self, image: usize, fill: impl FnOnce(&mut [f32])) {
        let images = &mut self.template.given[..self.template.images];
        fill(images[image].1.extract_tensor_mut().1);
    }

    /// Template image `image`, three planes; `None` if there is no such image.
    pub fn template_image(&self, image: usize) -> Option<&[f32]> {
        let (_, tensor) = self.template.given[..self.template.images].get(image)?;
        Some(tensor.extract_tensor().1)
    }

    /// Runs the template graph, if there is one, on the template images.
    ///
    /// # Errors
    /// [`ModelError::Onnx`].
    pub fn run_template(&mut self) -> Result<(), ModelError> {
        if let Some((path, session)) = &mut self.template.graph {
            let names: Vec<String> = self
                .template
                .features
                .iter()
                .map(|(name, _)| name.clone())
                .collect();
            let made = run_template(session, &self.template.given, &names, path)?;
            for ((_, feature), Made { name, values, .. }) in
                self.template.features.iter_mut().zip(made)
            {
                let (shape, kept) = feature.extract_tensor_mut();
                if kept.len() != values.len() {
                    return Err(ModelError::Tensor {
                        path: path.clone(),
                        what: format!("output {name}"),
                        got: format!("of {} numbers", values.len()),
                        expected: format!("of shape {shape:?} as before"),
                    });
                }
                kept.copy_from_slice(&values);
            }
        }
        Ok(())
    }

    /// Writes the search image (three planes) with `fill`.
    pub fn fill_search(&mut self, fill: impl FnOnce(&mut [f32])) {
        fill(self.stages[self.stage].image.extract_tensor_mut().1);
    }

    /// Writes the cells of the search image that lie outside the frame with `fill`: `n * n` numbers, row-major. For a model
    /// without `search.outside_input` it does nothing.
    pub fn fill_search_outside(&mut self, fill: impl FnOnce(&mut [f32])) {
        if let Some((_, cells)) = &mut self.stages[self.stage].outside {
            fill(cells.extract_tensor_mut().1);
        }
    }

    /// The search image, three planes.
    pub fn search_image(&self) -> &[f32] {
        self.stages[self.stage].image.extract_tensor().1
    }

    /// Runs the track graph on what [`Self::fill_search`] wrote and the current template.
    ///
    /// # Errors
    /// [`ModelError::Onnx`].
    pub fn infer(&mut self) -> Result<(), ModelError> {
        self.stages[self.stage].run(&self.template)
    }

    /// The `index`-th output (in the order given to [`Self::open`]) of the last run, row-major.
    pub fn output(&self, index: usize) -> &[f32] {
        &self.outputs()[index]
    }

    /// All wanted outputs of the last run, row-major.
    pub fn outputs(&self) -> &[Vec<f32>] {
        &self.stages[self.stage].outputs
    }

    /// The shape of the `index`-th output.
    pub fn output_shape(&self, index: usize) -> &[i64] {
        &self.stages[self.stage].shapes[index]
    }

    fn run(&mut self, fill: impl FnOnce(&mut [f32])) -> Result<(), ModelError> {
        self.fill_search(fill);
        self.infer()
    }
}

impl Stage {
    fn new(
        path: &std::path::Path,
        session: Session,
        size: usize,
        image_name: &str,
        outside: Option<(String, Tensor<f32>)>,
        template: &TemplateSide,
        wanted: &[WantedOutput<'_>],
    ) -> Result<Self, ModelError> {
        let refuse = |what: String, got: String, expected: String| ModelError::Tensor {
            path: path.to_path_buf(),
            what,
            got,
            expected,
        };
        check_image(
            find(session.inputs(), image_name, "input", path)?,
            size,
            path,
        )?;
        let mut expected = vec![image_name.to_owned()];
        if let Some((name, cells)) = &outside {
            let outlet = find(session.inputs(), name, "input", path)?;
            check_shape(outlet, &cells.shape()[..], path)?;
            expected.push(name.clone());
        }
        if template.graph.is_some() {
            expected.extend(template.features.iter().map(|(name, _)| name.clone()));
        } else {
            expected.extend(template.given.iter().map(|(name, _)| name.clone()));
        }
        if expected.len() > MOST_INPUTS || wanted.len() > MOST_OUTPUTS {
            return Err(refuse(
                "the number of inputs and outputs".to_owned(),
                format!("{} and {}", expected.len(), wanted.len()),
                format!("at most {MOST_INPUTS} and {MOST_OUTPUTS}"),
            ));
        }
        only_inputs(&session, &expected, path)?;
        for (name, feature) in &template.features {
            let outlet = find(session.inputs(), name, "input", path)?;
            check_shape(outlet, &feature.shape()[..], path)?;
        }
        if template.graph.is_none() {
            for (name, value) in &template.given {
                let outlet = find(session.inputs(), name, "input", path)?;
                check_shape(outlet, &value.shape()[..], path)?;
            }
        }
        let mut inputs = Vec::with_capacity(session.inputs().len());
        let place = |tensors: &[(String, Tensor<f32>)], name: &str| {
            tensors.iter().position(|(known, _)| known == name)
        };
        for input in session.inputs() {
            let feature = place(&template.features, input.name()).map(Source::Feature);
            let given = || place(&template.given, input.name()).map(Source::Given);
            let cells = || {
                let name = outside.as_ref().map(|(name, _)| name.as_str());
                (name == Some(input.name())).then_some(Source::Outside)
            };
            // All inputs are known from here on: those that are nothing else are the search image.
            inputs.push(
                feature
                    .or_else(given)
                    .or_else(cells)
                    .unwrap_or(Source::Search),
            );
        }
        let mut selector = OutputSelector::no_default();
        let mut outputs = Vec::with_capacity(wanted.len());
        let mut shapes = Vec::with_capacity(wanted.len());
        for WantedOutput { name, shape } in wanted {
            check_shape(find(session.outputs(), name, "output", path)?, shape, path)?;
            let numbers = shape.iter().product::<i64>() as usize;
            selector = selector
                .with(*name)
                .preallocate(*name, zeros(shape.clone(), path)?);
            outputs.push(vec![0.0; numbers]);
            shapes.push(shape.clone());
        }
        let cannot_run = |error: ort::Error| ModelError::Onnx {
            doing: "cannot run",
            path: path.to_path_buf(),
            reason: error.to_string(),
        };
        let mut options = RunOptions::new()
            .map_err(cannot_run)?
            .with_outputs(selector);
        // A session may have been opened with a verbose log.
        options.set_log_level(LogLevel::Error).map_err(cannot_run)?;
        Ok(Self {
            path: path.to_path_buf(),
            session,
            size,
            image: image_tensor(size, path)?,
            outside,
            inputs,
            options,
            outputs,
            shapes,
        })
    }

    fn run(&mut self, template: &TemplateSide) -> Result<(), ModelError> {
        let Self {
            path,
            session,
            image,
            outside,
            inputs,
            options,
            outputs,
            ..
        } = self;
        let cells = outside.as_ref().map_or(&*image, |(_, cells)| cells);
        // An array on the stack: each view costs a reference count and no allocation. Elements beyond the graph's inputs
        // are not passed on.
        let values: [SessionInputValue<'_>; MOST_INPUTS] =
            std::array::from_fn(|i| match inputs.get(i) {
                Some(Source::Feature(feature)) => (&template.features[*feature].1).into(),
                Some(Source::Given(index)) => (&template.given[*index].1).into(),
                Some(Source::Outside) => cells.into(),
                Some(Source::Search) | None => (&*image).into(),
            });
        let failed = |error: ort::Error| ModelError::Onnx {
            doing: "fails in",
            path: path.clone(),
            reason: error.message().to_owned(),
        };
        let made = session
            .run_with_options(&values[..inputs.len()], &*options)
            .map_err(failed)?;
        for (kept, (_, value)) in outputs.iter_mut().zip(made.iter()) {
            kept.copy_from_slice(value.try_extract_tensor::<f32>().map_err(failed)?.1);
        }
        Ok(())
    }
}

fn image_tensor(size: usize, path: &std::path::Path) -> Result<Tensor<f32>, ModelError> {
    let side = size as i64;
    zeros(vec![1, 3, side, side], path)
}

/// The shape of a number for each cell of an image with `side` cells a side.
fn cells_shape(side: usize) -> Vec<i64> {
    vec![1, side as i64, side as i64]
}

fn zeros(shape: Vec<i64>, path: &std::path::Path) -> Result<Tensor<f32>, ModelError> {
    let numbers = shape.iter().product::<i64>() as usize;
    tensor(shape, vec![0.0; numbers], path)
}

fn tensor(
    shape: Vec<i64>,
    values: Vec<f32>,
    path: &std::path::Path,
) -> Result<Tensor<f32>, ModelError> {
    Tensor::from_array((shape, values)).map_err(|error| ModelError::Onnx {
        doing: "cannot make a tensor for",
        path: path.to_path_buf(),
        reason: error.message().to_owned(),
    })
}

fn check_scales(bytes: &[u8], path: &std::path::Path) -> Result<(), ModelError> {
    scales::check(bytes).map_err(|bad| ModelError::Tensor {
        path: path.to_path_buf(),
        what: format!("the scale {}", bad.name),
        got: bad.value.to_string(),
        expected: "a finite number above 0".to_owned(),
    })
}

/// Runs the template graph and copies what it gives: name, shape, values.
fn run_template(
    session: &mut Session,
    given: &[(String, Tensor<f32>)],
    names: &[String],
    path: &std::path::Path,
) -> Result<Vec<Made>, ModelError> {
    let failed = |error: ort::Error| ModelError::Onnx {
        doing: "fails in",
        path: path.to_path_buf(),
        reason: error.message().to_owned(),
    };
    let inputs: Vec<(&str, SessionInputValue<'_>)> = given
        .iter()
        .map(|(name, value)| (name.as_str(), value.into()))
        .collect();
    let outputs = session.run(inputs).map_err(failed)?;
    names
        .iter()
        .map(|name| {
            let (shape, values) = outputs[name.as_str()]
                .try_extract_tensor::<f32>()
                .map_err(failed)?;
            Ok(Made {
                name: name.clone(),
                shape: shape.to_vec(),
                values: values.to_vec(),
            })
        })
        .collect()
}

fn names_of(outlets: &[Outlet]) -> String {
    outlets
        .iter()
        .map(Outlet::name)
        .collect::<Vec<_>>()
        .join(", ")
}

fn find<'a>(
    outlets: &'a [Outlet],
    name: &str,
    kind: &str,
    path: &std::path::Path,
) -> Result<&'a Outlet, ModelError> {
    outlets
        .iter()
        .find(|outlet| outlet.name() == name)
        .ok_or_else(|| ModelError::Tensor {
            path: path.to_path_buf(),
            what: format!("the list of {kind}s"),
            got: names_of(outlets),
            expected: format!("one called {name}"),
        })
}

fn only_inputs(
    session: &Session,
    expected: &[String],
    path: &std::path::Path,
) -> Result<(), ModelError> {
    let inputs = session.inputs();
    if inputs.len() == expected.len()
        && inputs
            .iter()
            .all(|input| expected.iter().any(|name| name == input.name()))
    {
        return Ok(());
    }
    Err(ModelError::Tensor {
        path: path.to_path_buf(),
        what: "the list of inputs".to_owned(),
        got: names_of(inputs),
        expected: expected.join(", "),
    })
}

fn check_image(outlet: &Outlet, size: usize, path: &std::path::Path) -> Result<(), ModelError> {
    check_shape(outlet, &[1, 3, size as i64, size as i64], path)
}

/// Checks type and shape. An axis without a fixed size accepts any size here; the first run shows whether it fits.
fn check_shape(
    outlet: &Outlet,
    expected: &[i64],
    path: &std::path::Path,
) -> Result<(), ModelError> {
    let fits = match outlet.dtype() {
        ValueType::Tensor { ty, shape, .. } => {
            *ty == TensorElementType::Float32
                && shape.len() == expected.len()
                && shape
                    .iter()
                    .zip(expected)
                    .all(|(got, want)| *got == -1 || got == want)
        }
        _ => false,
    };
    if fits {
        return Ok(());
    }
    Err(ModelError::Tensor {
        path: path.to_path_buf(),
        what: outlet.name().to_owned(),
        got: outlet.dtype().to_string(),
        expected: format!("Tensor<f32>{expected:?}"),
    })
}
