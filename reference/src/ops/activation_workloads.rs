//! Workloads of `activation` and its gradient: shapes as networks have them. Features of rows have s = 1, images in
//! NCHW order s = h·w.

use crate::Workload;

const fn w(name: &'static str, point: &'static str, source: &'static str) -> Workload {
    Workload::new(name, point, source)
}

/// One of each function that has a value.
const SHARED: [Workload; 11] = [
    w("lstm.gates-64x1024-sigmoid", "f=sigmoid,n=64,c=3072", "LSTM of 1024 units, batch 64: three gates of a step")
        .smoke(),
    w("lstm.cell-64x1024-tanh", "f=tanh,n=64,c=1024", "LSTM of 1024 units, batch 64: the cell of a step").smoke(),
    w("resnet50.conv1-relu", "f=relu,c=64,s=12544", "torchvision resnet50, 224×224"),
    w("darknet53.conv2-leaky", "f=leaky,c=64,s=43264,alpha=0.1", "YOLOv3, 416×416"),
    w("srresnet.block-prelu", "f=prelu,n=16,c=64,s=576", "SRResNet, 16 patches of 24×24").smoke(),
    w("elu-net.conv2-elu", "f=elu,n=16,c=192,s=1024,alpha=1", "Clevert et al. 2016, CIFAR, 32×32"),
    w("bert.512x3072-gelu", "f=gelu_erf,n=512,c=3072", "BERT-base feed-forward, 512 tokens"),
    w("gpt2.1024x3072-gelu-tanh", "f=gelu_tanh,n=1024,c=3072", "GPT-2 small feed-forward, 1024 tokens"),
    w("efficientnet-b0.stem-silu", "f=silu,c=32,s=12544", "torchvision efficientnet_b0, 224×224"),
    w("mamba130m.512x1536-softplus", "f=softplus,n=512,c=1536", "Mamba-130m, the step sizes of 512 tokens"),
    w("mobilenetv3.stem-hard-swish", "f=hard_swish,c=16,s=12544", "torchvision mobilenet_v3_large, 224×224").smoke(),
];

/// Of the forward operator.
pub static FORWARD: &[Workload] = &SHARED;

/// Of its gradient.
pub static BACKWARD: &[Workload] = &and_one_more(w(
    "vgg16.conv1-guided",
    "f=guided_relu,c=64,s=50176",
    "torchvision vgg16, 224×224, guided backpropagation",
));

const fn and_one_more(last: Workload) -> [Workload; SHARED.len() + 1] {
    let mut all = [last; SHARED.len() + 1];
    let mut i = 0;
    while i < SHARED.len() {
        all[i] = SHARED[i];
        i += 1;
    }
    all
}
