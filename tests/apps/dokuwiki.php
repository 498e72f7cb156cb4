<?php
// Where this wiki keeps its configuration; the rest is as the package brings it.
define('DOKU_CONF', getenv('WIKI') . '/conf/');
