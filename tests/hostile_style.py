"""A matplotlibrc that spoils whatever heeds it."""

MATPLOTLIBRC = """
image.origin: lower
image.cmap: prism
image.interpolation: bicubic
savefig.bbox: tight
savefig.transparent: True
savefig.facecolor: black
savefig.dpi: 30
text.usetex: True
text.parse_math: False
text.antialiased: False
font.family: cursive
font.size: 30
axes.facecolor: black
axes.grid: True
axes.xmargin: 0.4
axes.unicode_minus: False
axes.titlelocation: right
axes.prop_cycle: cycler('color', ['y'])
lines.linewidth: 9
lines.marker: x
patch.linewidth: 7
path.sketch: 1, 100, 2
xtick.top: True
xtick.color: yellow
ytick.labelsize: 30
ytick.minor.visible: True
legend.fontsize: 30
legend.frameon: True
figure.autolayout: True
figure.dpi: 33
figure.facecolor: red
pdf.use14corefonts: True
pdf.compression: 0
"""
