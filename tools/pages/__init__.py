"The site without Quarto: notebooks become pages, by the rules that nbdev and Quarto follow."
