//! The node's parameters on the graph: the values given at the start, and the six parameter services of every ROS 2 node.
//!
//! r2r's own parameter handler has no ranges and no read-only parameters, and it refuses an integer for a floating-point
//! parameter. So the services are implemented here.

use std::sync::Arc;

use ettrack::error_chain;
use futures::executor::LocalSpawner;
use futures::future;
use futures::stream::StreamExt;
use futures::task::LocalSpawnExt;
use r2r::builtin_interfaces::msg::Time;
use r2r::rcl_interfaces::msg::{
    FloatingPointRange, IntegerRange, ListParametersResult, Parameter, ParameterDescriptor,
    ParameterEvent, ParameterValue, SetParametersResult,
};
use r2r::rcl_interfaces::srv::{
    DescribeParameters, GetParameterTypes, GetParameters, ListParameters, SetParameters,
    SetParametersAtomically,
};
use r2r::{QosProfile, ServiceRequest, WrappedServiceTypeSupport};

use super::log::Log;
use super::{Doing, NodeError};
use crate::inbox::Inbox;
use crate::overrides::{Overrides, USE_SIM_TIME};
use crate::parameters::{Change, Descriptor, ParameterError, ParameterSet, Range, Value};
use crate::{Level, NodeCore, Output};

/// Type numbers of `rcl_interfaces/msg/ParameterType`.
mod kind {
    pub const NOT_SET: u8 = 0;
    pub const BOOL: u8 = 1;
    pub const INTEGER: u8 = 2;
    pub const DOUBLE: u8 = 3;
    pub const STRING: u8 = 4;
}

/// Returns the defaults with the values of the parameter files and of the command line, and whether simulated time is wanted.
/// Logs a warning for each unknown name.
///
/// # Errors
/// If a value has the wrong type or is out of range.
pub fn at_start<P: ParameterSet>(node: &r2r::Node, log: &Log) -> Result<(P, bool), NodeError> {
    let full_name = node
        .fully_qualified_name()
        .doing("cannot tell the node's name")?;
    let mut parameters = P::default();
    let overrides = Overrides::from_arguments(std::env::args())?;
    let applied = overrides.apply(&mut parameters, &full_name)?;
    for warning in applied.warnings {
        log.say(Level::Warn, &warning);
    }
    Ok((parameters, applied.use_sim_time))
}

/// The owner of the parameters.
pub trait Holder {
    /// Returns the value of a parameter.
    fn get(&self, name: &str) -> Option<Value>;
    /// Changes several parameters, or none of them.
    ///
    /// # Errors
    /// The error of the first refused parameter. Then no parameter has changed.
    fn set(&mut self, changes: &[(&str, Value)]) -> Result<(), ParameterError>;
}

/// A question to the holder.
type Question = Box<dyn FnOnce(&mut dyn Holder) + Send>;

/// Passes questions to the holder, which answers immediately or later.
pub trait AskHolder: Clone + 'static {
    /// Passes a question to the holder.
    fn ask(&self, question: Question);
}

/// Passes questions on the tracker's parameters to the tracking thread.
impl AskHolder for Arc<Inbox> {
    fn ask(&self, question: Question) {
        self.put_request(
            None,
            Box::new(move |core, _, out| question(&mut Core { core, out })),
        );
    }
}

struct Core<'a> {
    core: &'a mut NodeCore,
    out: &'a mut Vec<Output>,
}

impl Holder for Core<'_> {
    fn get(&self, name: &str) -> Option<Value> {
        self.core.parameters().get(name)
    }

    fn set(&mut self, changes: &[(&str, Value)]) -> Result<(), ParameterError> {
        self.core.set_parameters(changes, self.out)
    }
}

/// Offers the services for the parameters `P`. Passes each question to their holder by `holders`.
pub fn serve<P: ParameterSet + 'static>(
    node: &mut r2r::Node,
    spawner: &LocalSpawner,
    holders: &impl AskHolder,
    use_sim_time: bool,
) -> Result<(), NodeError> {
    answer::<GetParameters::Service>(
        node,
        spawner,
        holders,
        "get_parameters",
        move |holder, request| {
            let value = |name: &String| get(holder, use_sim_time, name).unwrap_or_default();
            GetParameters::Response {
                values: request.names.iter().map(value).collect(),
            }
        },
    )?;
    answer::<GetParameterTypes::Service>(
        node,
        spawner,
        holders,
        "get_parameter_types",
        move |holder, request| {
            let kind = |name: &String| {
                get(holder, use_sim_time, name).map_or(kind::NOT_SET, |value| value.type_)
            };
            GetParameterTypes::Response {
                types: request.names.iter().map(kind).collect(),
            }
        },
    )?;
    answer::<ListParameters::Service>(node, spawner, holders, "list_parameters", |_, request| {
        ListParameters::Response {
            result: list::<P>(&request.prefixes),
        }
    })?;
    answer::<DescribeParameters::Service>(
        node,
        spawner,
        holders,
        "describe_parameters",
        |_, request| DescribeParameters::Response {
            descriptors: request
                .names
                .iter()
                .map(|name| describe::<P>(name))
                .collect(),
        },
    )?;
    answer::<SetParameters::Service>(
        node,
        spawner,
        holders,
        "set_parameters",
        move |holder, request| SetParameters::Response {
            results: request
                .parameters
                .iter()
                .map(|parameter| {
                    result(set_all(
                        holder,
                        use_sim_time,
                        std::slice::from_ref(parameter),
                    ))
                })
                .collect(),
        },
    )?;
    answer::<SetParametersAtomically::Service>(
        node,
        spawner,
        holders,
        "set_parameters_atomically",
        move |holder, request| SetParametersAtomically::Response {
            result: result(set_all(holder, use_sim_time, &request.parameters)),
        },
    )
}

/// Offers the service `~/NAME`.
fn answer<S>(
    node: &mut r2r::Node,
    spawner: &LocalSpawner,
    holders: &impl AskHolder,
    name: &str,
    reply: impl Fn(&mut dyn Holder, &S::Request) -> S::Response + Send + Sync + 'static,
) -> Result<(), NodeError>
where
    S: WrappedServiceTypeSupport + 'static,
{
    let requests = node
        .create_service::<S>(&format!("~/{name}"), QosProfile::parameters())
        .doing(format!("cannot offer ~/{name}"))?;
    let reply = Arc::new(reply);
    let holders = holders.clone();
    spawner.spawn_local(requests.for_each(move |request: ServiceRequest<S>| {
        let reply = Arc::clone(&reply);
        holders.ask(Box::new(move |holder| {
            let response = reply(holder, &request.message);
            // The caller may have gone. Then nobody needs the answer.
            let _ = request.respond(response);
        }));
        future::ready(())
    }))?;
    Ok(())
}

fn get(holder: &dyn Holder, use_sim_time: bool, name: &str) -> Option<ParameterValue> {
    let value = if name == USE_SIM_TIME {
        Value::Bool(use_sim_time)
    } else {
        holder.get(name)?
    };
    Some(to_message(value))
}

fn list<P: ParameterSet>(prefixes: &[String]) -> ListParametersResult {
    // No parameter name contains a dot, so a prefix matches only a whole name.
    let wanted = |name: &str| prefixes.is_empty() || prefixes.iter().any(|prefix| prefix == name);
    ListParametersResult {
        names: P::descriptors()
            .iter()
            .map(|known| known.name)
            .chain([USE_SIM_TIME])
            .filter(|name| wanted(name))
            .map(str::to_owned)
            .collect(),
        prefixes: Vec::new(),
    }
}

fn describe<P: ParameterSet>(name: &str) -> ParameterDescriptor {
    if name == USE_SIM_TIME {
        return ParameterDescriptor {
            name: name.to_owned(),
            type_: kind::BOOL,
            description: "Whether time comes from /clock.".into(),
            additional_constraints: "read when the node starts".into(),
            read_only: true,
            ..ParameterDescriptor::default()
        };
    }
    let Some(known) = P::descriptors()
        .into_iter()
        .find(|known| known.name == name)
    else {
        return ParameterDescriptor {
            name: name.to_owned(),
            ..ParameterDescriptor::default()
        };
    };
    let Descriptor {
        description,
        range,
        change,
        default,
        ..
    } = known;
    let type_ = to_message(default).type_;
    let mut descriptor = ParameterDescriptor {
        name: name.to_owned(),
        type_,
        description,
        read_only: change == Change::Start,
        ..ParameterDescriptor::default()
    };
    match range {
        Range::Any => {}
        Range::Between(low, high) if type_ == kind::INTEGER => {
            descriptor.integer_range = vec![IntegerRange {
                from_value: low as i64,
                to_value: high as i64,
                step: 0,
            }];
        }
        Range::Between(low, high) => {
            descriptor.floating_point_range = vec![FloatingPointRange {
                from_value: low,
                to_value: high,
                step: 0.0,
            }];
        }
        Range::NoneOr(none, low, high) if type_ == kind::INTEGER => {
            descriptor.integer_range = vec![IntegerRange {
                from_value: none.min(low) as i64,
                to_value: high as i64,
                step: 0,
            }];
            descriptor.additional_constraints = range.to_string();
        }
        Range::NoneOr(none, low, high) => {
            descriptor.floating_point_range = vec![FloatingPointRange {
                from_value: none.min(low),
                to_value: high,
                step: 0.0,
            }];
            descriptor.additional_constraints = range.to_string();
        }
        Range::OneOf(_) => descriptor.additional_constraints = range.to_string(),
    }
    descriptor
}

/// Sets all parameters or none.
fn set_all(
    holder: &mut dyn Holder,
    use_sim_time: bool,
    parameters: &[Parameter],
) -> Result<(), String> {
    let mut changes = Vec::new();
    for Parameter { name, value } in parameters {
        let value = from_message(name, value)?;
        if name != USE_SIM_TIME {
            changes.push((name.as_str(), value));
        } else if value != Value::Bool(use_sim_time) {
            // Setting the present value is accepted, because loading a dump of all parameters does that.
            let name = USE_SIM_TIME;
            return Err(ParameterError::StartOnly { name }.to_string());
        }
    }
    holder.set(&changes).map_err(|error| error_chain(&error))
}

fn result(outcome: Result<(), String>) -> SetParametersResult {
    SetParametersResult {
        successful: outcome.is_ok(),
        reason: outcome.err().unwrap_or_default(),
    }
}

/// Returns the event that the parameters of `node` have these values since `now`, nanoseconds.
pub fn event(node: &str, now: i64, values: Vec<(String, Value)>) -> ParameterEvent {
    let parameter = |(name, value)| Parameter {
        name,
        value: to_message(value),
    };
    ParameterEvent {
        stamp: Time {
            sec: i32::try_from(now.div_euclid(1_000_000_000)).unwrap_or(i32::MAX),
            nanosec: u32::try_from(now.rem_euclid(1_000_000_000)).unwrap_or(0),
        },
        node: node.to_owned(),
        changed_parameters: values.into_iter().map(parameter).collect(),
        ..ParameterEvent::default()
    }
}

fn to_message(value: Value) -> ParameterValue {
    let mut message = ParameterValue::default();
    match value {
        Value::Bool(value) => {
            message.type_ = kind::BOOL;
            message.bool_value = value;
        }
        Value::Integer(value) => {
            message.type_ = kind::INTEGER;
            message.integer_value = value;
        }
        Value::Float(value) => {
            message.type_ = kind::DOUBLE;
            message.double_value = value;
        }
        Value::Text(value) => {
            message.type_ = kind::STRING;
            message.string_value = value;
        }
    }
    message
}

fn from_message(name: &str, message: &ParameterValue) -> Result<Value, String> {
    match message.type_ {
        kind::BOOL => Ok(Value::Bool(message.bool_value)),
        kind::INTEGER => Ok(Value::Integer(message.integer_value)),
        kind::DOUBLE => Ok(Value::Float(message.double_value)),
        kind::STRING => Ok(Value::Text(message.string_value.clone())),
        kind::NOT_SET => Err(format!("{name} cannot be unset, give a value")),
        _ => Err(format!("{name}: expected one value, got a list")),
    }
}
