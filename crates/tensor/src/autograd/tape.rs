//! The tape, its variables and gradient checkpointing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::{Error, Result};
use crate::ops;
use crate::tensor::Tensor;

/// Gradient of each input, `None` where it is not needed. Receives the gradient of the output and which inputs need one.
type Backward = Box<dyn FnOnce(&Tensor, &[bool]) -> Result<Vec<Option<Tensor>>> + Send>;

struct Node {
    /// Per input: the node it comes from, if it stands on the tape.
    inputs: Vec<Option<usize>>,
    backward: Option<Backward>,
}

#[derive(Default)]
struct Inner {
    nodes: Vec<Node>,
    grads: HashMap<usize, Tensor>,
}

/// Records operators for [`Tape::backward`]. Cloning shares the tape. A tape may move between threads, but its nodes stand
/// in one order: at any time one thread records on it or runs it backwards.
#[derive(Clone, Default)]
pub struct Tape(Arc<Mutex<Inner>>);

impl std::fmt::Debug for Tape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tape").field("nodes", &self.len()).finish()
    }
}

/// A tensor that may stand on a tape. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct Var {
    value: Tensor,
    node: Option<(Tape, usize)>,
}

impl Var {
    /// A tensor that needs no gradient.
    pub fn constant(value: Tensor) -> Self {
        Var { value, node: None }
    }

    /// The tensor.
    pub fn value(&self) -> &Tensor {
        &self.value
    }

    /// Sizes of the axes.
    pub fn shape(&self) -> &[usize] {
        self.value.shape()
    }

    /// Whether a gradient flows through this variable.
    pub fn needs_grad(&self) -> bool {
        self.node.is_some()
    }

    /// The same value without its history.
    pub fn detach(&self) -> Self {
        Var::constant(self.value.clone())
    }

    /// The same memory under another shape.
    ///
    /// # Errors
    /// [`Error::Shape`] when the number of elements differs.
    pub fn reshape(&self, shape: &[usize]) -> Result<Self> {
        let from = self.shape().to_vec();
        Ok(record(&[self], self.value.reshape(shape)?, move |grad, _| Ok(vec![Some(grad.reshape(&from)?)])))
    }
}

impl From<Tensor> for Var {
    fn from(value: Tensor) -> Self {
        Var::constant(value)
    }
}

/// Gradients of leaves after [`Tape::backward`].
#[derive(Debug)]
pub struct Gradients(HashMap<usize, Tensor>);

impl Gradients {
    /// The gradient of a leaf; `None` when the output does not depend on it.
    pub fn get(&self, leaf: &Var) -> Option<&Tensor> {
        self.0.get(&leaf.node.as_ref()?.1)
    }

    /// Takes the gradient of a leaf out.
    pub fn take(&mut self, leaf: &Var) -> Option<Tensor> {
        self.0.remove(&leaf.node.as_ref()?.1)
    }
}

/// Puts an operator on the tape of its inputs. `backward` returns one gradient per input, in their order; it may return
/// `None` for inputs whose entry of `needs` is false. Without a tape among the inputs only the value is kept.
pub(crate) fn record(
    inputs: &[&Var],
    value: Tensor,
    backward: impl FnOnce(&Tensor, &[bool]) -> Result<Vec<Option<Tensor>>> + Send + 'static,
) -> Var {
    let Some(tape) = inputs.iter().find_map(|v| v.node.as_ref().map(|(tape, _)| tape.clone())) else {
        return Var::constant(value);
    };
    let node = Node {
        inputs: inputs.iter().map(|v| v.node.as_ref().map(|&(_, id)| id)).collect(),
        backward: Some(Box::new(backward)),
    };
    let id = tape.push(node);
    Var { value, node: Some((tape, id)) }
}

impl Tape {
    /// An empty tape.
    pub fn new() -> Self {
        Self::default()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn len(&self) -> usize {
        self.lock().nodes.len()
    }

    /// Takes the nodes from `first` on off the tape; the caller drops them, with the tensors they hold, outside of the lock.
    fn cut(&self, first: usize) -> Vec<Node> {
        let mut inner = self.lock();
        let first = first.min(inner.nodes.len());
        inner.nodes.split_off(first)
    }

    fn push(&self, node: Node) -> usize {
        let mut inner = self.lock();
        inner.nodes.push(node);
        inner.nodes.len() - 1
    }

    /// A variable whose gradient is wanted.
    pub fn leaf(&self, value: Tensor) -> Var {
        let id = self.push(Node { inputs: Vec::new(), backward: None });
        Var { value, node: Some((self.clone(), id)) }
    }

    /// Gradients of every leaf with respect to `output`, weighted by `seed` (ones when absent). The tape is empty
    /// afterwards.
    ///
    /// # Errors
    /// [`Error::Shape`] when the seed has another size than the output, and what the backward operators report.
    pub fn backward(&self, output: &Var, seed: Option<Tensor>) -> Result<Gradients> {
        let result = self.backward_to(output, seed, 0);
        drop(self.cut(0));
        let grads = std::mem::take(&mut self.lock().grads);
        result.map(|()| Gradients(grads))
    }

    /// Runs the nodes `first..` backwards. Gradients of leaves and of nodes before `first` stay in the tape's table.
    fn backward_to(&self, output: &Var, seed: Option<Tensor>, first: usize) -> Result<()> {
        let Some((_, id)) = output.node.as_ref().filter(|(tape, _)| Arc::ptr_eq(&tape.0, &self.0)) else {
            return Ok(());
        };
        let seed = match seed {
            Some(seed) if seed.len() != output.value.len() => {
                return Err(Error::shape("backward", format!("seed {:?} for {:?}", seed.shape(), output.shape())));
            }
            Some(seed) => seed,
            None => ops::full(output.value.device(), output.shape(), 1.0)?,
        };
        self.accumulate(*id, seed)?;
        for i in (first..=*id).rev() {
            let (inputs, backward, grad) = {
                let mut inner = self.lock();
                let Some(node) = inner.nodes.get_mut(i) else { continue };
                let Some(backward) = node.backward.take() else { continue };
                let inputs = std::mem::take(&mut node.inputs);
                let Some(grad) = inner.grads.remove(&i) else {
                    drop(inner);
                    continue;
                };
                (inputs, backward, grad)
            };
            let needs: Vec<bool> = inputs.iter().map(Option::is_some).collect();
            let grads = backward(&grad, &needs)?;
            for (input, grad) in inputs.into_iter().zip(grads) {
                if let (Some(input), Some(grad)) = (input, grad) {
                    self.accumulate(input, grad)?;
                }
            }
        }
        Ok(())
    }

    fn accumulate(&self, node: usize, grad: Tensor) -> Result<()> {
        let earlier = self.lock().grads.remove(&node);
        let sum = match earlier {
            Some(earlier) => ops::add(&earlier, &grad)?,
            None => grad,
        };
        self.lock().grads.insert(node, sum);
        Ok(())
    }
}

/// Runs `body` without keeping its intermediate tensors; the backward pass runs it once more (gradient checkpointing).
/// `body` may use leaves of the tape besides `inputs` and must compute the same each time.
///
/// # Errors
/// What `body` reports.
pub fn checkpoint(inputs: &[&Var], body: impl Fn(&[Var]) -> Result<Var> + Send + 'static) -> Result<Var> {
    let Some(tape) = inputs.iter().find_map(|v| v.node.as_ref().map(|(tape, _)| tape.clone())) else {
        let inputs: Vec<Var> = inputs.iter().map(|&v| v.clone()).collect();
        return body(&inputs);
    };
    let start = tape.len();
    let detached: Vec<Var> = inputs.iter().map(|v| v.detach()).collect();
    let value = body(&detached)?.value;
    // Leaves that `body` captured put nodes on the tape; their closures hold the tensors to be let go.
    drop(tape.cut(start));
    let values: Vec<Tensor> = inputs.iter().map(|v| v.value.clone()).collect();
    let shared = tape.clone();
    Ok(record(inputs, value, move |grad, needs| {
        let start = shared.len();
        let again: Vec<Var> = values
            .iter()
            .zip(needs)
            .map(|(v, &need)| if need { shared.leaf(v.clone()) } else { Var::constant(v.clone()) })
            .collect();
        let output = body(&again)?;
        shared.backward_to(&output, Some(grad.clone()), start)?;
        let grads = {
            let mut inner = shared.lock();
            again.iter().map(|v| v.node.as_ref().and_then(|(_, id)| inner.grads.remove(id))).collect()
        };
        drop(shared.cut(start));
        Ok(grads)
    }))
}
