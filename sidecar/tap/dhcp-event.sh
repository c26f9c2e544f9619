#!/bin/sh
# What the DHCP client calls at each event: one line of its findings for the program that started it.
echo "dhcp event=$1 address=$ip prefix=$mask server=$serverid seconds=$lease"
