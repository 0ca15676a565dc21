"""What explains the attacks: how gradients vary from image to image, and what the loss looks like around a network."""

from autovul.vision.tools.gradient_variance import GradientVariance, LayerVariance, gradient_variance
from autovul.vision.tools.loss_contour import LossContour, loss_contour

__all__ = ["GradientVariance", "LayerVariance", "LossContour", "gradient_variance", "loss_contour"]
