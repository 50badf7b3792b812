//! Convolutions of nine well-known networks, forward, at one image, without bias and activation: every layer, each shape once
//! with the networks that have it and how often. A shape keeps the name under which it was first timed, so that
//! `resnet50.res2x_2b` is a layer of ResNet-18, too.
//!
//! Definitions: LeNet-5 as published, with C3 fully connected; AlexNet, VGG, ResNet (v1.5: the stride in the 3×3) and
//! SqueezeNet 1.1 as torchvision builds them; GoogLeNet as BVLC's v1 without the auxiliary heads; MobileNet v1 as published.

use crate::Workload;

const LECUN: &str = "LeCun et al. 1998, LeNet-5";
const DNN: &str = "oneDNN benchdnn, conv shapes";
const TB: &str = "TorchBench operator logs";
const TV: &str = "torchvision, model definitions";
const BVLC: &str = "Caffe, bvlc_googlenet";
const HOWARD: &str = "Howard et al. 2017, MobileNets";

const LENET5: &str = "LeNet-5";
const ALEXNET: &str = "AlexNet";
const VGG16: &str = "VGG-16";
const VGG19: &str = "VGG-19";
const GOOGLE: &str = "GoogLeNet";
const R18: &str = "ResNet-18";
const R50: &str = "ResNet-50";
const SQUEEZE: &str = "SqueezeNet 1.1";
const MOBILE: &str = "MobileNet v1";

type Networks = &'static [(&'static str, u32)];

const fn w(name: &'static str, point: &'static str, source: &'static str, networks: Networks) -> Workload {
    Workload::new(name, point, source).of(networks)
}

const fn smoke(name: &'static str, point: &'static str, source: &'static str, networks: Networks) -> Workload {
    Workload::new(name, point, source).of(networks).smoke()
}

/// A layer that no collection of benchmarks names: it is there for the sum.
const fn layer(name: &'static str, point: &'static str, source: &'static str, networks: Networks) -> Workload {
    w(name, point, source, networks).brief()
}

/// `googlenet.conv1_7x7_s2` and `resnet50v1.5.conv1` are one shape under two names, both of which stand in published reports;
/// each counts for its own networks.
pub(super) const LAYERS: &[Workload] = &[
    layer("lenet5.c1", "c=1,h=32,w=32,k=6,r=5,s=5", LECUN, &[(LENET5, 1)]),
    layer("lenet5.c3", "c=6,h=14,w=14,k=16,r=5,s=5", LECUN, &[(LENET5, 1)]),
    layer("lenet5.c5", "c=16,h=5,w=5,k=120,r=5,s=5", LECUN, &[(LENET5, 1)]),
    w("alexnet.conv1", "c=3,h=224,w=224,k=64,r=11,s=11,sh=4,sw=4,pt=2,pl=2,pb=2,pr=2", TB, &[(ALEXNET, 1)]),
    w("alexnet.conv2", "c=64,h=27,w=27,k=192,r=5,s=5,pt=2,pl=2,pb=2,pr=2", TB, &[(ALEXNET, 1)]),
    w("alexnet.conv3", "c=192,h=13,w=13,k=384,r=3,s=3,pt=1,pl=1,pb=1,pr=1", TB, &[(ALEXNET, 1)]),
    w("alexnet.conv4", "c=384,h=13,w=13,k=256,r=3,s=3,pt=1,pl=1,pb=1,pr=1", TB, &[(ALEXNET, 1)]),
    w("alexnet.conv5", "c=256,h=13,w=13,k=256,r=3,s=3,pt=1,pl=1,pb=1,pr=1", TB, &[(ALEXNET, 1)]),
    w("vgg16.conv1_1", "c=3,h=224,w=224,k=64,r=3,s=3,pt=1,pl=1,pb=1,pr=1", TB, &[(VGG16, 1), (VGG19, 1)]),
    w("vgg16.conv1_2", "c=64,h=224,w=224,k=64,r=3,s=3,pt=1,pl=1,pb=1,pr=1", TB, &[(VGG16, 1), (VGG19, 1)]),
    w("vgg16.conv2_1", "c=64,h=112,w=112,k=128,r=3,s=3,pt=1,pl=1,pb=1,pr=1", TB, &[(VGG16, 1), (VGG19, 1)]),
    w("vgg16.conv2_2", "c=128,h=112,w=112,k=128,r=3,s=3,pt=1,pl=1,pb=1,pr=1", TB, &[(VGG16, 1), (VGG19, 1)]),
    w("vgg16.conv3_1", "c=128,h=56,w=56,k=256,r=3,s=3,pt=1,pl=1,pb=1,pr=1", TB, &[(VGG16, 1), (VGG19, 1)]),
    w("vgg16.conv3_2", "c=256,h=56,w=56,k=256,r=3,s=3,pt=1,pl=1,pb=1,pr=1", TB, &[(VGG16, 2), (VGG19, 3)]),
    w("vgg16.conv4_1", "c=256,h=28,w=28,k=512,r=3,s=3,pt=1,pl=1,pb=1,pr=1", TB, &[(VGG16, 1), (VGG19, 1)]),
    w("vgg16.conv4_2", "c=512,h=28,w=28,k=512,r=3,s=3,pt=1,pl=1,pb=1,pr=1", TB, &[(VGG16, 2), (VGG19, 3)]),
    w("vgg16.conv5_1", "c=512,h=14,w=14,k=512,r=3,s=3,pt=1,pl=1,pb=1,pr=1", TB, &[(VGG16, 3), (VGG19, 4)]),
    w("googlenet.conv1_7x7_s2", "c=3,h=224,w=224,k=64,r=7,s=7,sh=2,sw=2,pt=3,pl=3,pb=3,pr=3", DNN, &[(GOOGLE, 1)]),
    w("googlenet.conv2_3x3", "c=64,h=56,w=56,k=192,r=3,s=3,pt=1,pl=1,pb=1,pr=1", DNN, &[(GOOGLE, 1)]),
    w("googlenet.3a_1x1", "c=192,h=28,w=28,k=64", DNN, &[(GOOGLE, 1)]),
    layer("googlenet.3a_3x3_reduce", "c=192,h=28,w=28,k=96", BVLC, &[(GOOGLE, 1)]),
    w("googlenet.3a_3x3", "c=96,h=28,w=28,k=128,r=3,s=3,pt=1,pl=1,pb=1,pr=1", DNN, &[(GOOGLE, 1)]),
    w("googlenet.3a_5x5_reduce", "c=192,h=28,w=28,k=16", DNN, &[(GOOGLE, 1)]),
    smoke("googlenet.3a_5x5", "c=16,h=28,w=28,k=32,r=5,s=5,pt=2,pl=2,pb=2,pr=2", DNN, &[(GOOGLE, 1)]),
    layer("googlenet.3a_pool_proj", "c=192,h=28,w=28,k=32", BVLC, &[(GOOGLE, 1)]),
    layer("googlenet.3b_1x1", "c=256,h=28,w=28,k=128", BVLC, &[(GOOGLE, 2)]),
    layer("googlenet.3b_3x3", "c=128,h=28,w=28,k=192,r=3,s=3,pt=1,pl=1,pb=1,pr=1", BVLC, &[(GOOGLE, 1)]),
    layer("googlenet.3b_5x5_reduce", "c=256,h=28,w=28,k=32", BVLC, &[(GOOGLE, 1)]),
    w("googlenet.3b_5x5", "c=32,h=28,w=28,k=96,r=5,s=5,pt=2,pl=2,pb=2,pr=2", DNN, &[(GOOGLE, 1)]),
    layer("googlenet.3b_pool_proj", "c=256,h=28,w=28,k=64", BVLC, &[(GOOGLE, 1)]),
    layer("googlenet.4a_1x1", "c=480,h=14,w=14,k=192", BVLC, &[(GOOGLE, 1)]),
    layer("googlenet.4a_3x3_reduce", "c=480,h=14,w=14,k=96", BVLC, &[(GOOGLE, 1)]),
    w("googlenet.4a_3x3", "c=96,h=14,w=14,k=208,r=3,s=3,pt=1,pl=1,pb=1,pr=1", DNN, &[(GOOGLE, 1)]),
    layer("googlenet.4a_5x5_reduce", "c=480,h=14,w=14,k=16", BVLC, &[(GOOGLE, 1)]),
    layer("googlenet.4a_5x5", "c=16,h=14,w=14,k=48,r=5,s=5,pt=2,pl=2,pb=2,pr=2", BVLC, &[(GOOGLE, 1)]),
    layer("googlenet.4a_pool_proj", "c=480,h=14,w=14,k=64", BVLC, &[(GOOGLE, 1)]),
    layer("googlenet.4b_1x1", "c=512,h=14,w=14,k=160", BVLC, &[(GOOGLE, 1)]),
    layer("googlenet.4b_3x3_reduce", "c=512,h=14,w=14,k=112", BVLC, &[(GOOGLE, 2)]),
    layer("googlenet.4b_3x3", "c=112,h=14,w=14,k=224,r=3,s=3,pt=1,pl=1,pb=1,pr=1", BVLC, &[(GOOGLE, 1)]),
    layer("googlenet.4b_5x5_reduce", "c=512,h=14,w=14,k=24", BVLC, &[(GOOGLE, 2)]),
    layer("googlenet.4b_5x5", "c=24,h=14,w=14,k=64,r=5,s=5,pt=2,pl=2,pb=2,pr=2", BVLC, &[(GOOGLE, 2)]),
    layer("googlenet.4b_pool_proj", "c=512,h=14,w=14,k=64", BVLC, &[(GOOGLE, 3)]),
    layer("googlenet.4c_1x1", "c=512,h=14,w=14,k=128", BVLC, &[(GOOGLE, 2)]),
    layer("googlenet.4c_3x3", "c=128,h=14,w=14,k=256,r=3,s=3,pt=1,pl=1,pb=1,pr=1", BVLC, &[(GOOGLE, 1)]),
    layer("googlenet.4d_3x3_reduce", "c=512,h=14,w=14,k=144", BVLC, &[(GOOGLE, 1)]),
    layer("googlenet.4d_3x3", "c=144,h=14,w=14,k=288,r=3,s=3,pt=1,pl=1,pb=1,pr=1", BVLC, &[(GOOGLE, 1)]),
    layer("googlenet.4d_5x5_reduce", "c=512,h=14,w=14,k=32", BVLC, &[(GOOGLE, 1)]),
    layer("googlenet.4d_5x5", "c=32,h=14,w=14,k=64,r=5,s=5,pt=2,pl=2,pb=2,pr=2", BVLC, &[(GOOGLE, 1)]),
    layer("googlenet.4e_1x1", "c=528,h=14,w=14,k=256", BVLC, &[(GOOGLE, 1)]),
    layer("googlenet.4e_3x3_reduce", "c=528,h=14,w=14,k=160", BVLC, &[(GOOGLE, 1)]),
    w("googlenet.4e_3x3", "c=160,h=14,w=14,k=320,r=3,s=3,pt=1,pl=1,pb=1,pr=1", DNN, &[(GOOGLE, 1)]),
    layer("googlenet.4e_5x5_reduce", "c=528,h=14,w=14,k=32", BVLC, &[(GOOGLE, 1)]),
    layer("googlenet.4e_5x5", "c=32,h=14,w=14,k=128,r=5,s=5,pt=2,pl=2,pb=2,pr=2", BVLC, &[(GOOGLE, 1)]),
    layer("googlenet.4e_pool_proj", "c=528,h=14,w=14,k=128", BVLC, &[(GOOGLE, 1)]),
    w("googlenet.5a_1x1", "c=832,h=7,w=7,k=256", DNN, &[(GOOGLE, 1)]),
    layer("googlenet.5a_3x3_reduce", "c=832,h=7,w=7,k=160", BVLC, &[(GOOGLE, 1)]),
    layer("googlenet.5a_3x3", "c=160,h=7,w=7,k=320,r=3,s=3,pt=1,pl=1,pb=1,pr=1", BVLC, &[(GOOGLE, 1)]),
    layer("googlenet.5a_5x5_reduce", "c=832,h=7,w=7,k=32", BVLC, &[(GOOGLE, 1)]),
    layer("googlenet.5a_5x5", "c=32,h=7,w=7,k=128,r=5,s=5,pt=2,pl=2,pb=2,pr=2", BVLC, &[(GOOGLE, 1)]),
    layer("googlenet.5a_pool_proj", "c=832,h=7,w=7,k=128", BVLC, &[(GOOGLE, 2)]),
    layer("googlenet.5b_1x1", "c=832,h=7,w=7,k=384", BVLC, &[(GOOGLE, 1)]),
    layer("googlenet.5b_3x3_reduce", "c=832,h=7,w=7,k=192", BVLC, &[(GOOGLE, 1)]),
    w("googlenet.5b_3x3", "c=192,h=7,w=7,k=384,r=3,s=3,pt=1,pl=1,pb=1,pr=1", DNN, &[(GOOGLE, 1)]),
    layer("googlenet.5b_5x5_reduce", "c=832,h=7,w=7,k=48", BVLC, &[(GOOGLE, 1)]),
    w("googlenet.5b_5x5", "c=48,h=7,w=7,k=128,r=5,s=5,pt=2,pl=2,pb=2,pr=2", DNN, &[(GOOGLE, 1)]),
    w("resnet50v1.5.conv1", "c=3,h=224,w=224,k=64,r=7,s=7,sh=2,sw=2,pt=3,pl=3,pb=3,pr=3", TB, &[(R18, 1), (R50, 1)]),
    w("resnet50.res2x_2b", "c=64,h=56,w=56,k=64,r=3,s=3,pt=1,pl=1,pb=1,pr=1", TB, &[(R18, 4), (R50, 3)]),
    layer("resnet18.layer2_0_conv1_s2", "c=64,h=56,w=56,k=128,r=3,s=3,sh=2,sw=2,pt=1,pl=1,pb=1,pr=1", TV, &[(R18, 1)]),
    layer("resnet18.layer2_0_downsample_s2", "c=64,h=56,w=56,k=128,sh=2,sw=2", TV, &[(R18, 1)]),
    w("resnet50.res3b_2b", "c=128,h=28,w=28,k=128,r=3,s=3,pt=1,pl=1,pb=1,pr=1", TB, &[(R18, 3), (R50, 3)]),
    layer("resnet18.layer3_0_conv1_s2", "c=128,h=28,w=28,k=256,r=3,s=3,sh=2,sw=2,pt=1,pl=1,pb=1,pr=1", TV, &[(R18, 1)]),
    layer("resnet18.layer3_0_downsample_s2", "c=128,h=28,w=28,k=256,sh=2,sw=2", TV, &[(R18, 1)]),
    smoke("resnet50.res4b_2b", "c=256,h=14,w=14,k=256,r=3,s=3,pt=1,pl=1,pb=1,pr=1", TB, &[(R18, 3), (R50, 5)]),
    layer("resnet18.layer4_0_conv1_s2", "c=256,h=14,w=14,k=512,r=3,s=3,sh=2,sw=2,pt=1,pl=1,pb=1,pr=1", TV, &[(R18, 1)]),
    layer("resnet18.layer4_0_downsample_s2", "c=256,h=14,w=14,k=512,sh=2,sw=2", TV, &[(R18, 1)]),
    w("resnet50.res5b_2b", "c=512,h=7,w=7,k=512,r=3,s=3,pt=1,pl=1,pb=1,pr=1", TB, &[(R18, 3), (R50, 2)]),
    w("resnet50.res2a_2a", "c=64,h=56,w=56,k=64", TB, &[(GOOGLE, 1), (R50, 1)]),
    w("resnet50.res2x_2c", "c=64,h=56,w=56,k=256", TB, &[(R50, 4)]),
    w("resnet50.res2b_2a", "c=256,h=56,w=56,k=64", TB, &[(R50, 2)]),
    w("resnet50.res3a_2a", "c=256,h=56,w=56,k=128", TB, &[(R50, 1)]),
    w("resnet50.res3a_2b_s2", "c=128,h=56,w=56,k=128,r=3,s=3,sh=2,sw=2,pt=1,pl=1,pb=1,pr=1", TB, &[(R50, 1)]),
    w("resnet50.res3a_branch1_s2", "c=256,h=56,w=56,k=512,sh=2,sw=2", TB, &[(R50, 1)]),
    w("resnet50.res3x_2c", "c=128,h=28,w=28,k=512", TB, &[(R50, 4)]),
    layer("resnet50.res3b_2a", "c=512,h=28,w=28,k=128", TV, &[(R50, 3)]),
    layer("resnet50.res4a_2a", "c=512,h=28,w=28,k=256", TV, &[(R50, 1)]),
    layer("resnet50.res4a_2b_s2", "c=256,h=28,w=28,k=256,r=3,s=3,sh=2,sw=2,pt=1,pl=1,pb=1,pr=1", TV, &[(R50, 1)]),
    layer("resnet50.res4a_branch1_s2", "c=512,h=28,w=28,k=1024,sh=2,sw=2", TV, &[(R50, 1)]),
    smoke("resnet50.res4x_2c", "c=256,h=14,w=14,k=1024", TB, &[(R50, 6)]),
    w("resnet50.res4b_2a", "c=1024,h=14,w=14,k=256", TB, &[(R50, 5)]),
    layer("resnet50.res5a_2a", "c=1024,h=14,w=14,k=512", TV, &[(R50, 1)]),
    layer("resnet50.res5a_2b_s2", "c=512,h=14,w=14,k=512,r=3,s=3,sh=2,sw=2,pt=1,pl=1,pb=1,pr=1", TV, &[(R50, 1)]),
    layer("resnet50.res5a_branch1_s2", "c=1024,h=14,w=14,k=2048,sh=2,sw=2", TV, &[(R50, 1)]),
    w("resnet50.res5x_2c", "c=512,h=7,w=7,k=2048", TB, &[(R50, 3)]),
    w("resnet50.res5b_2a", "c=2048,h=7,w=7,k=512", TB, &[(R50, 2)]),
    w("squeezenet1_1.conv1", "c=3,h=224,w=224,k=64,r=3,s=3,sh=2,sw=2", TB, &[(SQUEEZE, 1)]),
    w("squeezenet1_1.fire2.squeeze", "c=64,h=55,w=55,k=16", TB, &[(SQUEEZE, 1)]),
    w("squeezenet1_1.fire2.e1x1", "c=16,h=55,w=55,k=64", TB, &[(SQUEEZE, 2)]),
    w("squeezenet1_1.fire2.e3x3", "c=16,h=55,w=55,k=64,r=3,s=3,pt=1,pl=1,pb=1,pr=1", TB, &[(SQUEEZE, 2)]),
    layer("squeezenet1_1.fire3.squeeze", "c=128,h=55,w=55,k=16", TV, &[(SQUEEZE, 1)]),
    w("squeezenet1_1.fire4.squeeze", "c=128,h=27,w=27,k=32", TB, &[(SQUEEZE, 1)]),
    layer("squeezenet1_1.fire4.e1x1", "c=32,h=27,w=27,k=128", TV, &[(SQUEEZE, 2)]),
    w("squeezenet1_1.fire4.e3x3", "c=32,h=27,w=27,k=128,r=3,s=3,pt=1,pl=1,pb=1,pr=1", TB, &[(SQUEEZE, 2)]),
    layer("squeezenet1_1.fire5.squeeze", "c=256,h=27,w=27,k=32", TV, &[(SQUEEZE, 1)]),
    layer("squeezenet1_1.fire6.squeeze", "c=256,h=13,w=13,k=48", TV, &[(SQUEEZE, 1)]),
    layer("squeezenet1_1.fire6.e1x1", "c=48,h=13,w=13,k=192", TV, &[(SQUEEZE, 2)]),
    w("squeezenet1_1.fire6.e3x3", "c=48,h=13,w=13,k=192,r=3,s=3,pt=1,pl=1,pb=1,pr=1", TB, &[(SQUEEZE, 2)]),
    layer("squeezenet1_1.fire7.squeeze", "c=384,h=13,w=13,k=48", TV, &[(SQUEEZE, 1)]),
    layer("squeezenet1_1.fire8.squeeze", "c=384,h=13,w=13,k=64", TV, &[(SQUEEZE, 1)]),
    layer("squeezenet1_1.fire8.e1x1", "c=64,h=13,w=13,k=256", TV, &[(SQUEEZE, 2)]),
    w("squeezenet1_1.fire8.e3x3", "c=64,h=13,w=13,k=256,r=3,s=3,pt=1,pl=1,pb=1,pr=1", TB, &[(SQUEEZE, 2)]),
    layer("squeezenet1_1.fire9.squeeze", "c=512,h=13,w=13,k=64", TV, &[(SQUEEZE, 1)]),
    w("squeezenet1_1.classifier", "c=512,h=13,w=13,k=1000", TB, &[(SQUEEZE, 1)]),
    w("mobilenet_v1.conv1", "c=3,h=224,w=224,k=32,r=3,s=3,sh=2,sw=2,pt=1,pl=1,pb=1,pr=1", DNN, &[(MOBILE, 1)]),
    w("mobilenet_v1.dw2_1", "c=1,h=112,w=112,k=1,r=3,s=3,g=32,pt=1,pl=1,pb=1,pr=1", DNN, &[(MOBILE, 1)]),
    w("mobilenet_v1.pw2", "c=32,h=112,w=112,k=64", DNN, &[(MOBILE, 1)]),
    w("mobilenet_v1.dw2_2_s2", "c=1,h=112,w=112,k=1,r=3,s=3,g=64,sh=2,sw=2,pt=1,pl=1,pb=1,pr=1", DNN, &[(MOBILE, 1)]),
    layer("mobilenet_v1.pw3", "c=64,h=56,w=56,k=128", HOWARD, &[(MOBILE, 1)]),
    w("mobilenet_v1.dw3_1", "c=1,h=56,w=56,k=1,r=3,s=3,g=128,pt=1,pl=1,pb=1,pr=1", DNN, &[(MOBILE, 1)]),
    w("mobilenet_v1.pw4", "c=128,h=56,w=56,k=128", DNN, &[(MOBILE, 1)]),
    layer(
        "mobilenet_v1.dw3_2_s2",
        "c=1,h=56,w=56,k=1,r=3,s=3,g=128,sh=2,sw=2,pt=1,pl=1,pb=1,pr=1",
        HOWARD,
        &[(MOBILE, 1)],
    ),
    layer("mobilenet_v1.pw5", "c=128,h=28,w=28,k=256", HOWARD, &[(MOBILE, 1)]),
    layer("mobilenet_v1.dw4_1", "c=1,h=28,w=28,k=1,r=3,s=3,g=256,pt=1,pl=1,pb=1,pr=1", HOWARD, &[(MOBILE, 1)]),
    layer("mobilenet_v1.pw6", "c=256,h=28,w=28,k=256", HOWARD, &[(MOBILE, 1)]),
    layer(
        "mobilenet_v1.dw4_2_s2",
        "c=1,h=28,w=28,k=1,r=3,s=3,g=256,sh=2,sw=2,pt=1,pl=1,pb=1,pr=1",
        HOWARD,
        &[(MOBILE, 1)],
    ),
    layer("mobilenet_v1.pw7", "c=256,h=14,w=14,k=512", HOWARD, &[(MOBILE, 1)]),
    smoke("mobilenet_v1.dw5_1", "c=1,h=14,w=14,k=1,r=3,s=3,g=512,pt=1,pl=1,pb=1,pr=1", DNN, &[(MOBILE, 5)]),
    w("mobilenet_v1.pw8", "c=512,h=14,w=14,k=512", DNN, &[(MOBILE, 5)]),
    layer(
        "mobilenet_v1.dw5_6_s2",
        "c=1,h=14,w=14,k=1,r=3,s=3,g=512,sh=2,sw=2,pt=1,pl=1,pb=1,pr=1",
        HOWARD,
        &[(MOBILE, 1)],
    ),
    layer("mobilenet_v1.pw9", "c=512,h=7,w=7,k=1024", HOWARD, &[(MOBILE, 1)]),
    w("mobilenet_v1.dw6", "c=1,h=7,w=7,k=1,r=3,s=3,g=1024,pt=1,pl=1,pb=1,pr=1", DNN, &[(MOBILE, 1)]),
    w("mobilenet_v1.pw10", "c=1024,h=7,w=7,k=1024", DNN, &[(MOBILE, 1)]),
];
