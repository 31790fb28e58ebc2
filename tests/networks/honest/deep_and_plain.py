import torch.nn as nn


class Network(nn.Sequential):
    def __init__(self, num_classes):
        layers = [nn.Conv2d(3, 12, 3, padding=1), nn.ReLU()]
        for _ in range(22):
            layers += [nn.Conv2d(12, 12, 3, padding=1), nn.ReLU()]
        super().__init__(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, num_classes))
